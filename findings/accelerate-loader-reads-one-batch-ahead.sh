#!/usr/bin/env bash
# What: accelerate 1.15.0 with torch 2.13.0, one process, a DataLoader without workers, before and after prepare(...).
# Guess: prepare moves batches to the device and changes nothing else: what the training writes into the data set
#   (difficulty of a curriculum, strength of an augmentation, a replay buffer) holds from the next batch on.
# Seen: It holds one batch later. The prepared loader fetches a batch ahead, to know which one is the last.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6 accelerate==1.15.0
fi

cd "$folder"
"$python" - <<'PY'
import accelerate
import torch
from torch.utils.data import DataLoader, Dataset

print("torch", torch.__version__, "accelerate", accelerate.__version__)


class Curriculum(Dataset):
    difficulty = 0

    def __len__(self):
        return 5

    def __getitem__(self, i):
        return self.difficulty


def difficulties(prepared):
    data = Curriculum()
    loader = DataLoader(data)
    if prepared:
        loader = accelerate.Accelerator(cpu=True).prepare(loader)
    seen = []
    for step, batch in enumerate(loader):
        seen.append(batch.item())
        data.difficulty = step + 1
    return seen


plain, prepared = difficulties(False), difficulties(True)
print("difficulty of each batch:", plain, "plain,", prepared, "prepared")

if not (plain == [0, 1, 2, 3, 4] and prepared == [0, 0, 1, 2, 3]):
    raise SystemExit("The behaviour has changed.")
PY
