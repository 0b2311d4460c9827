"""MNIST from IDX files in a folder of the user's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from torch import nn

from thalweg.errors import DataError
from thalweg.objective import Cost
from thalweg.tasks.data import Data
from thalweg.tasks.idx import read_idx
from thalweg.tasks.models import mlp
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task

FOLDER_VARIABLE = "THALWEG_DATA"
_PARTS = {"train": "train", "test": "t10k"}


def mnist(folder: str | os.PathLike[str] | None = None, *, scale: bool = True) -> Task:
    """MNIST digits from your IDX files: 784-32-10 sigmoid network, validation accuracy 93 %.

    `folder` (by default the environment variable THALWEG_DATA) holds the four files, plain or
    `.gz`. The last 10 % of the training rows are the validation set. `scale` divides pixels by 255;
    without it they stay 0 to 255.

    Raises DataError for a missing, truncated or wrong file.
    """
    x, y = load_mnist(folder, "train")
    x_test, y_test = load_mnist(folder, "test")
    divisor = np.float32(255 if scale else 1)
    data = Data.arrays(
        x / divisor, y, validation=0.1, split="last", test=(x_test / divisor, y_test)
    )
    return Task(
        data=data,
        cost=Cost("cross_entropy", metrics="accuracy"),
        model=lambda: mlp([int(x.shape[1]), 32, 10], nn.Sigmoid),
        name="mnist",
        target=Target("accuracy", 0.93),
        description="MNIST digits, 784-32-10 sigmoid network, to 93 % validation accuracy",
    )


def load_mnist(folder: str | os.PathLike[str] | None, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (rows, pixels; float32, 0 to 255) and labels (rows,) of "train" or "test".

    The files may lie in `folder`, or in `mnist` or `MNIST/raw` within it, and be called
    `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, each with or without `.gz` (`t10k-…` for
    the test set).
    """
    root = _folder(folder)
    images = read_idx(_find(root, f"{_PARTS[part]}-images", "idx3-ubyte"), axes=3)
    label_file = _find(root, f"{_PARTS[part]}-labels", "idx1-ubyte")
    labels = read_idx(label_file, axes=1)
    if len(images) != len(labels):
        raise DataError(
            f"{label_file} has {len(labels)} labels for {len(images)} images: the files do not "
            "belong together."
        )
    if not len(images):
        raise DataError(f"{label_file} and its images are empty.")
    if labels.max() > 9:
        raise DataError(f"{label_file} has the label {labels.max()}; expected 0 to 9.")
    return images.reshape(len(images), -1).astype(np.float32), labels.astype(np.int64)


def _folder(folder: str | os.PathLike[str] | None) -> Path:
    given = folder if folder is not None else os.environ.get(FOLDER_VARIABLE)
    if not given:
        raise DataError(
            "MNIST is read from your own files: give the folder that holds them, or set the "
            f"environment variable {FOLDER_VARIABLE} to it. It needs train-images-idx3-ubyte, "
            "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or "
            ".gz."
        )
    root = Path(given).expanduser()
    if not root.is_dir():
        source = "" if folder is not None else f" (from {FOLDER_VARIABLE})"
        raise DataError(f"There is no folder {root}{source} to read MNIST from.")
    return root


def _find(root: Path, stem: str, kind: str) -> Path:
    for folder in (root, root / "mnist", root / "MNIST" / "raw"):
        for name in (f"{stem}-{kind}", f"{stem}.{kind}"):
            for path in (folder / name, folder / f"{name}.gz"):
                if path.is_file():
                    return path
    raise DataError(
        f"{root} has no file {stem}-{kind} (nor {stem}.{kind}, nor either with .gz, nor in mnist/ "
        "or MNIST/raw/)."
    )
