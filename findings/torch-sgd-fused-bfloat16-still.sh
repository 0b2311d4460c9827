#!/usr/bin/env bash
# What: torch 2.13.0, SGD(fused=True) on the CPU, bfloat16 parameters.
# Guess: fused=True gives the numbers of the plain loop, only faster.
# Seen: Elements in full blocks of 32 never change. Of a vector of 100 ones, 96 stay 1.0 for ever, and only
#   the last 4 train; no error, no warning. The plain loop trains all. (Adam and AdamW with fused=True do
#   train.)
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


def moved(fused: bool, n: int) -> int:
    p = torch.nn.Parameter(torch.ones(n, dtype=torch.bfloat16))
    optimizer = torch.optim.SGD([p], lr=0.1, fused=fused)
    for _ in range(3):
        p.grad = torch.ones_like(p)
        optimizer.step()
    return int((p != 1).sum())


seen = {n: (moved(False, n), moved(True, n)) for n in (64, 100)}
for n, (loop, fused) in seen.items():
    print(f"{n} elements, 3 steps of 0.1: the loop moves {loop}, fused moves {fused}")


if not (seen == {64: (64, 0), 100: (100, 4)}):
    raise SystemExit("The behaviour has changed.")
PY
