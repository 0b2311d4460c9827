from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from thalweg.errors import DataError
from thalweg.tasks import Data, data_hash

X = np.random.default_rng(0).normal(size=(6, 2))
Y = np.arange(6) % 3


def test_the_hash_is_of_numbers_not_of_their_last_bits() -> None:
    exact = data_hash(Data.arrays(X, Y))
    assert data_hash(Data.arrays(X.astype("float32"), Y.astype("int16"))) == exact
    assert data_hash(Data.arrays(torch.from_numpy(X) + 1e-12, Y)) == exact


@pytest.mark.parametrize(
    "other",
    [
        Data.arrays(X[::-1], Y),
        Data.arrays(X, Y + 1),
        Data.arrays(X + 2e-4, Y),
        Data.arrays(X.reshape(6, 2, 1), Y),
        Data.arrays(X, Y, validation=(X, Y)),
        Data.arrays(X, Y, test=(X, Y)),
        Data.arrays(X, Y.astype("float32")),
    ],
    ids=["order", "targets", "inputs", "shape", "validation", "test", "kind"],
)
def test_the_hash_sees_every_change(other: Data) -> None:
    assert data_hash(other) != data_hash(Data.arrays(X, Y))


def test_data_that_are_not_in_memory_have_none() -> None:
    class Rows(Dataset[tuple[float, float]]):
        def __len__(self) -> int:
            return 3

    with pytest.raises(DataError, match="The train set does not lie in memory"):
        data_hash(Data(DataLoader(Rows())))  # type: ignore[arg-type]
