#!/usr/bin/env bash
# What: torch 2.13.0, a map-style data set of eight rows whose __getitem__ lets a StopIteration escape, as a bare
#   `next(...)` on something exhausted does.
# Guess: An error, or a failed worker: a row could not be read.
# Seen: With workers and without, the DataLoader takes it for the end of the data: the epoch ends in the middle,
#   the rows before it in the same batch are lost, too, and nothing is said.
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
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, k):
        if k == 5:
            next(iter(()))
        return float(k)


print("torch", torch.__version__)
ends = []
for workers in (0, 1):
    loader = DataLoader(Rows(), batch_size=2, num_workers=workers)
    batches = [batch.tolist() for batch in loader]
    print(f"{workers} workers, {len(loader)} batches promised:", batches)
    ends.append(batches)


if ends != [[[0.0, 1.0], [2.0, 3.0]]] * 2:
    raise SystemExit("The behaviour has changed.")
PY
