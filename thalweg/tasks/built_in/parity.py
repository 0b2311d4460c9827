"""Sparse parity: a function of a few bits, of which no single one tells anything."""

from __future__ import annotations

import numpy as np

from thalweg.errors import TaskError
from thalweg.objective import Cost
from thalweg.tasks.built_in.dense import mlp
from thalweg.tasks.data import Data
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.whole import whole_number

_ROWS, _VALIDATION = 5120, 1024


@built_in(
    target=Target("accuracy", 0.99),
    seconds=0.5,
    data_hash="b9134ce5f1ead2b8e7ef7da096a366c02081f00366017b421a60854689cbd7f9",
)
def parity(bits: int = 16, relevant: int = 5) -> Task:
    """Parity of 5 among 16 bits: 16-64-2 network.

    Inputs are ±1, the class is 1 where an odd number of the first `relevant` bits is +1. No single
    bit tells anything of the class, so the loss rests at log 2 before it falls. 30 epochs in
    batches of 128 are 1,200 steps; Adam at lr = 0.03 is there after some 210. Source: B. Barak et
    al., Hidden progress in deep learning: SGD learns parities near the computational limit, NeurIPS
    2022.
    """
    whole_number("bits", bits)
    if whole_number("relevant", relevant) > bits:
        raise TaskError(f"Of {bits} bits, relevant={relevant} cannot matter.")
    draws = np.random.Generator(np.random.PCG64(0)).random((_ROWS + _VALIDATION, bits))
    ones = draws < 0.5
    x = np.where(ones, 1, -1).astype("float32")
    y = ones[:, :relevant].sum(1) % 2
    return Task(
        data=Data.arrays(x[:_ROWS], y[:_ROWS], validation=(x[_ROWS:], y[_ROWS:])),
        cost=Cost("cross_entropy", metrics="accuracy"),
        model=lambda: mlp([bits, 64, 2]),
        description=f"Parity of {relevant} among {bits} bits",
    )
