#!/usr/bin/env bash
# What: lion-pytorch 0.2.5 with torch 2.13.0, copy.deepcopy of model and optimizer.
# Guess: A deep copy has what the original has.
# Seen: torch.optim.Optimizer defines what is copied and pickled: defaults, state and param_groups. An option
#   that a subclass keeps in an attribute is left behind, and the copy fails at its first step. (Of 139
#   optimizers of pytorch_optimizer 4.1.0 over 100 are like this.)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6 lion-pytorch==0.2.5
fi

cd "$folder"
"$python" - <<'PY'
import copy
from importlib.metadata import version

import lion_pytorch
import torch

print("torch", torch.__version__, "lion-pytorch", version("lion-pytorch"))
p = torch.nn.Parameter(torch.ones(3))
optimizer = lion_pytorch.Lion([p], lr=0.1)
q, twin = copy.deepcopy((p, optimizer))
lost = sorted(set(vars(optimizer)) - set(vars(twin)))
print("attributes that the copy lacks:", [name for name in lost if "hook" not in name])
q.grad = torch.ones(3)
try:
    twin.step()
    fails = False
except AttributeError as error:
    print("its first step:", error)
    fails = True


if not ("decoupled_wd" in lost and fails):
    raise SystemExit("The behaviour has changed.")
PY
