#!/usr/bin/env bash
# What: torch 2.13.0, functional.l1_loss with weight= under a TorchFunctionMode that only passes calls on.
# Guess: A mode that calls the function as it was called changes nothing.
# Seen: The weight does not reach the mode, so the loss comes out as if none had been given; mse_loss and
#   huber_loss hand theirs on.
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
from torch.nn import functional
from torch.overrides import TorchFunctionMode

print("torch", torch.__version__)


class PassOn(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


x, y, w = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.0])
seen = {}
for name in ("l1_loss", "mse_loss"):
    loss = getattr(functional, name)
    plain, unweighted = loss(x, y, weight=w).item(), loss(x, y).item()
    with PassOn():
        inside = loss(x, y, weight=w).item()
    seen[name] = (plain, inside, unweighted)
    print(f"{name}: {plain} outside of the mode, {inside} inside; {unweighted} without a weight")


l1, mse = seen["l1_loss"], seen["mse_loss"]
if not (l1[1] == l1[2] != l1[0] and mse[1] == mse[0] != mse[2]):
    raise SystemExit("The behaviour has changed.")
PY
