"""Measure what a cache saves: 600 small PNG files, read in each epoch, read once, and given as arrays.

    python benchmarks/cached.py
    python benchmarks/cached.py --epochs 10 --repeats 5

Each contestant trains the same network on the same batches; the time of a run includes what the cache
takes to read. The contestants take turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from thalweg.tasks import Data, Task, mlp
from thalweg.train import fit

ROWS, SIDE, CLASSES = 600, 32, 3


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """PNG files in a folder, the class being the first letter of the name."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        file = self.files[index]
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"), np.float32) / 255
        return torch.from_numpy(pixels).permute(2, 0, 1), int(file.name[0])


def write(folder: Path) -> None:
    draw = np.random.default_rng(0)
    for k in range(ROWS):
        pixels = draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        pixels[..., k % CLASSES] //= 2
        Image.fromarray(pixels).save(folder / f"{k % CLASSES}-{k:03}.png")


def train(data: Data, epochs: int) -> float:
    net = Task(data, "cross_entropy", lambda: mlp([3 * SIDE * SIDE, 32, CLASSES], flatten=True))
    run = fit(net, "adam", lr=1e-3, epochs=epochs, batch_size=32, progress=False)
    return float(run.history[-1].train.loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        pictures = Pictures(Path(folder))
        rows = [pictures[k] for k in range(ROWS)]
        x, y = torch.stack([row[0] for row in rows]), torch.tensor([row[1] for row in rows])
        contestants: dict[str, Callable[[], Any]] = {
            "read each epoch": lambda: Data.dataset(pictures),
            "cache=True": lambda: Data.dataset(pictures, cache=True),
            "arrays": lambda: Data.arrays(x, y),
        }
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        losses = set()
        for _ in range(given.repeats):
            for name, data in contestants.items():
                began = time.process_time()
                losses.add(train(data(), given.epochs))
                seconds[name].append(time.process_time() - began)
    assert len(losses) == 1, f"the same batches give the same losses; got {losses}"
    for name, each in seconds.items():
        print(f"{name:16} {statistics.median(each):6.2f} s of processor time")


if __name__ == "__main__":
    main()
