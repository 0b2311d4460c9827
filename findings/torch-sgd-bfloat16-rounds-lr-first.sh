#!/usr/bin/env bash
# What: torch 2.13.0, SGD on a bfloat16 parameter of 1 with a gradient of 1.
# Guess: 1 − lr is computed in float32 and rounded once: with lr = 0.00196, over half the spacing of bfloat16
#   below 1 (0.001953), the parameter becomes 0.9961.
# Seen: lr is rounded to bfloat16 first (to 0.001953, a tie that goes to 1): the parameter stays at 1, in
#   every step.
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


def stepped(lr: float) -> float:
    p = torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    p.grad = torch.ones_like(p)
    torch.optim.SGD([p], lr=lr).step()
    return p.item()


rounded_once = (torch.ones(1) - 0.00196).bfloat16().item()
print(f"lr=0.00196: {stepped(0.00196)} from the optimizer, {rounded_once} rounded once")
print(f"lr=0.002: {stepped(0.002)}")


if not (stepped(0.00196) == 1.0 and rounded_once < 1 and stepped(0.002) < 1):
    raise SystemExit("The behaviour has changed.")
PY
