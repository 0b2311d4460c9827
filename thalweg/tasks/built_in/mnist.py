"""MNIST and Fashion-MNIST from IDX files in a folder of the user's."""

from __future__ import annotations

import os

import numpy as np
from torch import nn

from thalweg.objective import Cost
from thalweg.tasks.built_in.dense import mlp
from thalweg.tasks.formats.image_files import FASHION_MNIST, MNIST
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task


@built_in(target=Target("accuracy", 0.93), seconds=5.0, epochs=10, place=("folder",))
def mnist(folder: str | os.PathLike[str] | None = None, *, scale: bool = True) -> Task:
    """MNIST digits from your IDX files: 784-32-10 sigmoid network.

    `folder` (by default the environment variable THALWEG_DATA) holds the four files, plain or
    `.gz`, in itself or in `mnist` or `MNIST/raw` within it. The last 10 % of the training rows are
    the validation set. `scale` divides pixels by 255; without it they stay 0 to 255.

    Raises DataError for a missing, truncated or wrong file. Source: Y. LeCun, L. Bottou, Y. Bengio,
    P. Haffner, Gradient-based learning applied to document recognition, Proceedings of the IEEE 86,
    1998.
    """
    data = MNIST.data(folder, 255.0 if scale else 1.0)
    width = int(data.train.first(1)[0].shape[1])
    return Task(
        data=data,
        cost=Cost("cross_entropy", metrics="accuracy"),
        model=lambda: mlp([width, 32, 10], nn.Sigmoid),
        description="MNIST digits, 784-32-10 sigmoid network",
    )


@built_in(target=Target("accuracy", 0.87), seconds=10.0, epochs=10, place=("folder",))
def fashion_mnist(folder: str | os.PathLike[str] | None = None) -> Task:
    """Fashion-MNIST from your IDX files: 784-128-10 network.

    `folder` (by default the environment variable THALWEG_DATA) holds the four files, plain or
    `.gz`, in itself or in `fashion_mnist`, `fashion-mnist`, `fashion` or `FashionMNIST/raw` within
    it. The last 10 % of the training rows are the validation set; pixels are divided by 255.

    Raises DataError for a missing, truncated or wrong file, also for those of MNIST, which have the
    same names. Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image dataset for
    benchmarking machine learning algorithms, 2017.
    """
    data = FASHION_MNIST.data(folder)
    width = int(data.train.first(1)[0].shape[1])
    return Task(
        data=data,
        cost=Cost("cross_entropy", metrics="accuracy"),
        model=lambda: mlp([width, 128, 10]),
        description="Fashion-MNIST, 784-128-10 network",
    )


def load_mnist(folder: str | os.PathLike[str] | None, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return MNIST's images (rows, pixels; float32, 0 to 255) and labels (rows,) of "train" or "test"."""
    return MNIST.load(folder, part)
