#!/usr/bin/env bash
# What: pytorch_optimizer 4.1.0 with torch 2.13.0: SOAP and ADOPT.
# Guess: A step of an optimizer moves the parameters.
# Seen: The first one does not: it only starts the second moment (ADOPT) or the preconditioner (SOAP). A test
#   of one step, a meta-learner with one inner step, or a warm start of a single batch trains nothing.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6 pytorch_optimizer==4.1.0
fi

cd "$folder"
"$python" - <<'PY'
from importlib.metadata import version

import pytorch_optimizer
import torch

print("torch", torch.__version__, "pytorch_optimizer", version("pytorch_optimizer"))
moved = {}
for name in ("AdamW", "SOAP", "ADOPT"):
    p = torch.nn.Parameter(torch.ones(4, 3))
    optimizer = getattr(pytorch_optimizer, name)([p], lr=0.01)
    moved[name] = []
    for _ in range(3):
        before = p.detach().clone()
        p.grad = torch.ones_like(p)
        optimizer.step()
        moved[name].append(float((before - p.detach()).abs().max()))
    print(name, "moves by", [f"{m:.4f}" for m in moved[name]])


if not (moved["AdamW"][0] > 0 and all(moved[n][0] == 0 < moved[n][1] for n in ("SOAP", "ADOPT"))):
    raise SystemExit("The behaviour has changed.")
PY
