"""A data set that is read once gives the batches of the set that is read each time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from tests.exact import same
from thalweg.errors import DataError
from thalweg.objective.nested import tensors_in
from thalweg.tasks import Data, Order
from thalweg.tasks.sources.source import ArraySource

COPY = "copies, and nothing is computed"
ROWS = 70  # more than are read at once


class Items(Dataset[Any]):
    """Counts how often its items are read."""

    def __init__(self, item: Callable[[int], Any], rows: int = ROWS) -> None:
        self.item, self.rows, self.reads = item, rows, 0

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Any:
        self.reads += 1
        return self.item(index)


def pixels(index: int) -> np.ndarray:
    return np.random.default_rng(index).random((2, 3), dtype=np.float32)


KINDS: dict[str, Callable[[int], Any]] = {
    "arrays and labels": lambda k: (pixels(k), k % 3),
    "bytes": lambda k: (torch.tensor([k, 2 * k], dtype=torch.uint8), torch.tensor(k > 5)),
    "numbers": lambda k: (0.5 * k, float(k)),
    "several inputs": lambda k: ({"a": pixels(k), "b": (k, torch.ones(2) * k)}, pixels(k)[0]),
    "NaN": lambda k: (torch.tensor([float("nan"), k]), k),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [None, 1, 16, 70, 100])
def test_batches_are_those_of_the_set(kind: str, size: int | None) -> None:
    items = Items(KINDS[kind])
    plain, cached = (
        Data.dataset(items, validation=0.2),
        Data.dataset(items, validation=0.2, cache=True),
    )
    for name in ("train", "validation"):
        for epoch, order in ((1, None), (1, Order(3)), (2, Order(3)), (2, Order(3, "never"))):
            ours = list(cached.split(name).batches(size, order, epoch))
            theirs = list(plain.split(name).batches(size, order, epoch))
            assert [len(batch) for batch in ours] == [len(batch) for batch in theirs]
            for a, b in zip(tensors_in(ours), tensors_in(theirs), strict=True):
                assert a.dtype == b.dtype
                same(a, b, because=COPY)
    assert cached.train.rows == 56


def test_items_are_read_once() -> None:
    items = Items(KINDS["numbers"])
    data = Data.dataset(items, cache=True)
    assert isinstance(data.train, ArraySource)
    held = items.reads
    assert ROWS <= held <= ROWS + 8  # and a few again, to see whether they change
    for epoch in range(3):
        list(data.train.batches(7, Order(0), epoch))
    assert items.reads == held


def test_a_taker_may_change_its_batch() -> None:
    data = Data.dataset(Items(KINDS["several inputs"]), cache=True)
    for inputs, _ in data.train.batches(None):
        inputs["a"].zero_()
    for inputs, _ in data.train.batches(None):
        assert inputs["a"].abs().sum() > 0


RNG, OWN = np.random.default_rng(0), torch.Generator()
AUGMENTED: dict[str, Callable[[int], Any]] = {
    "torch": lambda k: (torch.rand(2), k),
    "numpy": lambda k: (np.random.rand(2), k),
    "python": lambda k: (random.random(), k),
    "a rare flip": lambda k: (torch.ones(2) if torch.rand(()) < 0.999 else torch.zeros(2), k),
    "a generator of its own": lambda k: (torch.rand(2, generator=OWN), k),
    "NumPy's, of its own": lambda k: (RNG.random(2), k),
    "a new generator each time": lambda k: (np.random.default_rng().random(2), k),
}


@pytest.mark.parametrize("kind", AUGMENTED)
@pytest.mark.parametrize("which", ["train", "validation"])
def test_augmentation_does_not_freeze(kind: str, which: str) -> None:
    steady, drawn = Items(KINDS["numbers"]), Items(AUGMENTED[kind])
    train, validation = (drawn, steady) if which == "train" else (steady, drawn)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)
    with pytest.raises(DataError, match=f"{which} set .*would give the same in every epoch"):
        Data.dataset(train, validation=validation, cache=True)
    same(torch.get_rng_state(), before[0], because=COPY)
    assert random.getstate() == before[1]
    assert str(np.random.get_state(legacy=False)) == str(before[2])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield torch.zeros(1), 0


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Stream(), "only a data set with a length"),
        (Items(lambda k: ("text", k)), "its items hold str"),
        (Items(lambda k: (torch.zeros(1 + k // 64), k)), r"items from 64 on are \(2,\), float32"),
        (Items(lambda k: (torch.zeros(1 + k % 2), k)), "fails at batch 1"),
        (Items(lambda k: (torch.zeros(100), 0), rows=10**12), "GB of memory are free"),
    ],
)
def test_sets_that_cannot_be_cached(dataset: Dataset[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Data.dataset(dataset, cache=True)


def test_arrays_are_in_memory_as_they_are() -> None:
    rows = torch.utils.data.TensorDataset(torch.arange(4.0), torch.arange(4))
    data = Data.dataset(rows, cache=True)
    ((x, _),) = data.train.batches(None)
    assert isinstance(x, Tensor)
    assert x.tolist() == [0, 1, 2, 3]
