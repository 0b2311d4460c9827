#!/usr/bin/env bash
# What: torch 2.13.0, one step of Adafactor on a float32 matrix from gradients of growing size.
# Guess: the step does not depend on the size of the gradient: it is divided by its own root mean square, and the
#   row and column means of 1e12² = 1e24 are far from float32's largest number, 3.4e38.
# Seen: at 1e8 the largest entry moves as far as at 1. At 1e12 nothing moves at all: the product of a row's and a
#   column's mean is formed before it is divided by the mean of all, 1e24 · 1e24 is infinite, and 1/√inf is 0.
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


def moved(size):
    weight = torch.nn.Parameter(torch.ones(4, 3))
    optimizer = torch.optim.Adafactor([weight])
    weight.grad = size * torch.arange(1.0, 13.0).reshape(4, 3)
    optimizer.step()
    return (weight - 1).abs().max().item()


found = {size: moved(size) for size in (1.0, 1e8, 1e12)}
for size, distance in found.items():
    print(f"gradients of size {size:g}: largest movement {distance:.4g}")

if not (found[1.0] > 0.005 and abs(found[1e8] / found[1.0] - 1) < 0.01 and found[1e12] == 0):
    raise SystemExit("The behaviour has changed.")
PY
