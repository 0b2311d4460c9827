"""Handwritten digits, embedded in scikit-learn: 1,797 images of 8 × 8 pixels, ten classes."""

from __future__ import annotations

from thalweg.errors import MissingExtraError
from thalweg.objective import Cost
from thalweg.tasks.built_in.dense import mlp
from thalweg.tasks.data import Data
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task

DATA_HASH = "c2f758ebae66d146a8551803a615c7a1b2af9934c79f1d67398131853c884bbc"


@built_in(
    target=Target("accuracy", 0.95),
    seconds=0.2,
    data_hash=DATA_HASH,
)
def digits() -> Task:
    """Handwritten digits (scikit-learn): 64-32-10 network.

    Pixels are divided by 16, to lie between 0 and 1. A fixed stratified split keeps about 20 % for
    validation and 10 % for testing. Source: E. Alpaydin, C. Kaynak, UCI repository, Optical
    Recognition of Handwritten Digits, 1998.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError("scikit-learn", "The digits task") from None
    x, y = load_digits(return_X_y=True)
    data = Data.arrays(
        (x / 16).astype("float32"), y, validation=0.2, test=0.1, split="stratified", seed=0
    )
    return Task(
        data=data,
        cost=Cost("cross_entropy", metrics="accuracy"),
        model=lambda: mlp([64, 32, 10]),
        description="Handwritten digits, 64-32-10 network",
    )
