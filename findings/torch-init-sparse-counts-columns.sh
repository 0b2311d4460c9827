#!/usr/bin/env bash
# What: torch 2.13.0, torch.nn.init.sparse_(weight, sparsity=0.9).
# Guess: A unit of a layer (a row of its weight) gets a tenth of its inputs: sparse initialization was
#   proposed so that each unit has the same number of connections.
# Seen: The count is exact for each *input* (column). Of 50 units with 100 inputs, where 10 connections each
#   were meant, some get 3 and some 18.
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
weight = torch.empty(50, 100)  # 50 units with 100 inputs
torch.nn.init.sparse_(weight, sparsity=0.9)
units, inputs = (weight != 0).sum(1), (weight != 0).sum(0)
print(f"connections of a unit: {int(units.min())} to {int(units.max())}; of an input: {int(inputs.min())} to {int(inputs.max())}")


if not (units.min() < 7 and units.max() > 13 and inputs.min() == inputs.max() == 5):
    raise SystemExit("The behaviour has changed.")
PY
