#!/usr/bin/env bash
# What: torch 2.13.0, Adafactor with its default eps=(None, 1e-3).
# Guess: eps1 is the machine epsilon of each parameter's dtype: a float32 parameter trains alike wherever it
#   stands in the list.
# Seen: It is that of the *first* parameter for all of the group. A float32 parameter behind a bfloat16 one,
#   with gradients of 1e-3, takes a step 7.8 times smaller than behind a float32 one.
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


def step_of_the_second(first: torch.dtype) -> float:
    a = torch.nn.Parameter(torch.ones(4, 4, dtype=first))
    b = torch.nn.Parameter(torch.ones(4, 4))
    optimizer = torch.optim.Adafactor([a, b], lr=1e-2)
    a.grad, b.grad = torch.ones_like(a), torch.full_like(b, 1e-3)
    optimizer.step()
    return float((1 - b.detach()).max())


behind_float32, behind_bfloat16 = (step_of_the_second(d) for d in (torch.float32, torch.bfloat16))
print(f"step of a float32 parameter: {behind_float32:.5f} behind float32, {behind_bfloat16:.5f} behind bfloat16")


if not (behind_float32 > 5 * behind_bfloat16):
    raise SystemExit("The behaviour has changed.")
PY
