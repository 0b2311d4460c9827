#!/usr/bin/env bash
# What: torch 2.13.0, torch.nn.init.orthogonal_ of a layer with more outputs than inputs.
# Guess: An orthogonal matrix keeps the variance of what goes through it, so that activations stay of size 1.
# Seen: From 5 to 20 units the columns are orthonormal: the length of the vector is kept, and spread over four
#   times as many units, whose variance is 0.25. From 20 to 5 it is 1. A stack that widens needs
#   gain=sqrt(outputs / inputs).
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
torch.manual_seed(0)


def variance(inputs: int, outputs: int) -> float:
    weight = torch.nn.init.orthogonal_(torch.empty(outputs, inputs))
    return float((torch.randn(100_000, inputs) @ weight.T).var())


wide, narrow = variance(5, 20), variance(20, 5)
print(f"variance of the outputs: 5 -> 20 units {wide:.3f}, 20 -> 5 units {narrow:.3f}")


if not (abs(wide - 0.25) < 0.01 and abs(narrow - 1) < 0.05):
    raise SystemExit("The behaviour has changed.")
PY
