#!/usr/bin/env bash
# What: torch 2.13.0, torch.distributed.checkpoint.state_dict.get_optimizer_state_dict before the first step.
# Guess: Asking for the state of an optimizer changes nothing in it.
# Seen: Missing state is made by a real step with zero gradients and lr 0, which counts. The first step of
#   Adam is then 0.74 of what it was, RAdam's 0.53; Rprop's step sizes have shrunk to 1e-6; ASGD's first step
#   does not move.
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
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

print("torch", torch.__version__)


def first_step(name: str, asked: bool) -> float:
    model = torch.nn.Linear(3, 1)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01)
    if asked:
        get_optimizer_state_dict(model, optimizer)
    before = model.weight.detach().clone()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    return float((before - model.weight.detach()).max())


ratios = {name: first_step(name, True) / first_step(name, False) for name in ("SGD", "Adam", "RAdam", "Rprop", "ASGD")}
for name, ratio in ratios.items():
    print(f"{name}: the first step is {ratio:.4f} of what it is without asking")


if not (abs(ratios["SGD"] - 1) < 1e-3
    and abs(ratios["Adam"] - 0.744) < 0.01
    and abs(ratios["RAdam"] - 0.526) < 0.01
    and ratios["Rprop"] < 1e-3
    and ratios["ASGD"] < 1e-3):
    raise SystemExit("The behaviour has changed.")
PY
