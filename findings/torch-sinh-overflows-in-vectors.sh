#!/usr/bin/env bash
# What: torch 2.13.0, sinh and cosh of 17 numbers that are all 89, on a CPU with AVX2 or AVX-512.
# Guess: 17 times 2.2448e38: float32 goes up to 3.4e38, and documented is a function of each element.
# Seen: inf where the element is computed in a vector (SLEEF's sinh, which has e^x = inf from 88.73 on), and
#   2.2448e38 for the last one, which is left over and goes to the C library. In float64 the same at 710.
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
import math

import torch

print("torch", torch.__version__, torch.backends.cpu.get_cpu_capability())

found = []
for function, dtype, x in (
    (torch.sinh, torch.float32, 89.0),
    (torch.cosh, torch.float32, 89.0),
    (torch.sinh, torch.float64, 710.0),
    (torch.cosh, torch.float64, 710.0),
):
    values = function(torch.full((17,), x, dtype=dtype)).tolist()
    print(f"{function.__name__}({x}) 17 times, {dtype}: first {values[0]}, last {values[-1]}")
    found.append(math.isinf(values[0]) and math.isfinite(values[-1]))

if not all(found):
    raise SystemExit("The behaviour has changed.")
PY
