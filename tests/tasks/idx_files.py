"""Synthetic files in MNIST's format."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(
    folder: Path,
    train: int = 60,
    test: int = 20,
    side: int = 6,
    *,
    dot: bool = False,
    zipped: bool = False,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write four files of random images, brighter where the label is larger; return them."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for part, rows in (("train", train), ("t10k", test)):
        labels = rng.integers(0, 10, rows)
        images = rng.integers(0, 120, (rows, side, side)) + 13 * labels[:, None, None]
        made[part] = images, labels
        for kind, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            name = f"{part}-{kind}".replace("s-idx", "s.idx" if dot else "s-idx")
            content = idx_bytes(array)
            path = folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)
    return made
