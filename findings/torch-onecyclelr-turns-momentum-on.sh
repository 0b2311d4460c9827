#!/usr/bin/env bash
# What: torch 2.13.0, OneCycleLR(optimizer, max_lr=..., total_steps=...) with its defaults.
# Guess: A learning-rate scheduler leaves an optimizer without momentum without momentum.
# Seen: cycle_momentum=True is the default, and writes a momentum of 0.95 into SGD(lr) and RMSprop(lr), which
#   were made with momentum 0.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6
fi

cd "$folder"
"$python" - <<'PY'
import torch

print("torch", torch.__version__)
found = {}
for name in ("SGD", "RMSprop"):
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = getattr(torch.optim, name)([p], lr=0.1)
    before = optimizer.param_groups[0]["momentum"]
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    found[name] = before, optimizer.param_groups[0]["momentum"]
    print(f"{name}: momentum {before} before, {found[name][1]} after OneCycleLR is made")


if not (found == {"SGD": (0, 0.95), "RMSprop": (0, 0.95)}):
    raise SystemExit("The behaviour has changed.")
PY
