from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from tests.exact import same
from thalweg.errors import DataError
from thalweg.tasks import Data
from thalweg.tasks.sources.source import ArraySource, DatasetSource, LoaderSource


class Squares(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index >= self.rows:
            raise IndexError
        return torch.tensor([float(index)]), torch.tensor([float(index) ** 2])


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    def __iter__(self):  # type: ignore[no-untyped-def]
        for i in range(5):
            yield torch.tensor([float(i)]), torch.tensor([float(i)])


def _rows(source: object) -> list[float]:
    assert isinstance(source, ArraySource)
    return source.inputs[:, 0].tolist()


X = np.arange(20.0).reshape(20, 1)


def test_last_is_keras_validation_split() -> None:
    data = Data.arrays(X, X, validation=0.1, split="last")
    assert _rows(data.train) == list(range(18))
    assert _rows(data.validation) == [18, 19]
    data = Data.arrays(X, X, validation=0.1, test=0.25, split="last")
    assert (_rows(data.train)[-1], _rows(data.validation), _rows(data.test)) == (
        12,
        [13, 14],
        [15, 16, 17, 18, 19],
    )
    assert Data.arrays(np.zeros((60_000, 1)), np.zeros(60_000), validation=0.1).train.rows == 54_000


def test_random_parts_are_disjoint_complete_and_seeded() -> None:
    data = Data.arrays(X, X, validation=0.25, test=0.25)
    parts = [_rows(data.train), _rows(data.validation), _rows(data.test)]
    assert sorted(itertools.chain(*parts)) == list(range(20))
    assert [len(part) for part in parts] == [10, 5, 5]
    again = Data.arrays(X, X, validation=0.25, test=0.25)
    assert _rows(again.validation) == parts[1]
    other = Data.arrays(X, X, validation=0.25, test=0.25, seed=1)
    assert _rows(other.validation) != parts[1]


def test_stratified_parts_keep_the_shares() -> None:
    labels = np.array([0] * 40 + [1] * 20)
    data = Data.arrays(np.zeros((60, 1)), labels, validation=0.25, split="stratified")
    assert isinstance(data.validation, ArraySource)
    assert torch.bincount(data.validation.targets).tolist() == [10, 5]
    with pytest.raises(DataError, match="needs class numbers"):
        Data.arrays(X, X, validation=0.1, split="stratified")


def test_explicit_sets() -> None:
    data = Data.arrays(X, X, validation=(X[:3], X[:3]), test=(X[:1], X[:1]))
    assert (data.train.rows, data.split("validation").rows, data.split("test").rows) == (20, 3, 1)
    with pytest.raises(DataError, match=r"rows of shape \(2,\), the training inputs of \(1,\)"):
        Data.arrays(X, X, validation=(np.zeros((3, 2)), X[:3]))


def test_scaling_is_fitted_on_the_training_rows_alone() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(3, 5, size=(30, 2))
    data = Data.arrays(
        x, x[:, :1], validation=0.5, split="last", scale="standard", scale_targets=True
    )
    train, rest = x[:15], x[15:]
    assert isinstance(data.train, ArraySource)
    assert isinstance(data.validation, ArraySource)
    np.testing.assert_allclose(data.train.inputs.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(data.train.inputs.std(0, correction=0), 1)
    np.testing.assert_allclose(data.validation.inputs, (rest - train.mean(0)) / train.std(0))
    np.testing.assert_allclose(
        data.validation.targets, (rest[:, :1] - train[:, :1].mean()) / train[:, :1].std()
    )
    data = Data.arrays(x, x, validation=0.5, split="last", scale="min_max")
    assert isinstance(data.train, ArraySource)
    assert (data.train.inputs.min().item(), data.train.inputs.max().item()) == (0, 1)
    with pytest.raises(DataError, match="real-valued"):
        Data.arrays(X, np.zeros(20, int), scale_targets=True)
    with pytest.raises(DataError, match="'standard' or 'min_max'"):
        Data.arrays(X, X, scale="log")  # type: ignore[arg-type]


def test_kinds_of_arrays() -> None:
    for x, y in (
        ([[1.0], [2.0]], [0, 1]),
        (torch.ones(2, 1), torch.tensor([0, 1], dtype=torch.uint8)),
        (np.ones((2, 1), "f4"), np.array([False, True])),
        (np.ones((4, 1))[::2], np.arange(4, dtype="i2")[::2]),
        (np.ones((2, 1))[::-1], [0, 1]),
    ):
        data = Data.arrays(x, y)
        assert isinstance(data.train, ArraySource)
        assert data.train.targets.dtype == torch.int64
    read_only = np.ones((2, 1))
    read_only.flags.writeable = False
    assert Data.arrays(read_only, read_only).train.rows == 2
    repeated = Data.arrays(X).train
    assert isinstance(repeated, ArraySource)
    same(repeated.inputs, repeated.targets, because="a copy")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:0], X[:0], "train set is empty"),
        (X, X[:19], "20 rows of inputs but 19 of targets"),
        (
            np.where(X == 3, np.nan, X),
            X,
            "inputs hold NaN or infinity in 1 of 20 rows, first in row 3",
        ),
        (X, np.where(X == 3, np.inf, X), "targets hold NaN or infinity"),
        (np.array([["a"], ["b"]]), [0, 1], "not an array of numbers"),
        ([[1.0], [1.0, 2.0]], [0, 1], "not an array of numbers"),
        (3.0, 3.0, "a single number"),
    ],
)
def test_bad_arrays(x: object, y: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Data.arrays(x, y)


def test_large_finite_numbers_are_not_taken_for_infinity() -> None:
    assert Data.arrays(np.full((3, 1), 3e38, "f4"), np.zeros(3)).train.rows == 3


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5])
def test_bad_fractions(fraction: float) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        Data.arrays(X, X, validation=fraction)


def test_fractions_that_leave_nothing() -> None:
    with pytest.raises(DataError, match="leave none for training"):
        Data.arrays(X, X, validation=0.5, test=0.5)
    with pytest.raises(DataError, match="'random', 'stratified' or 'last'"):
        Data.arrays(X, X, validation=0.5, split="first")  # type: ignore[arg-type]


def test_missing_split() -> None:
    with pytest.raises(DataError, match="has no test set"):
        Data.arrays(X, X).split("test")
    with pytest.raises(DataError, match="no split 'dev'"):
        Data.arrays(X, X).split("dev")


def test_torch_data_sets() -> None:
    data = Data.dataset(Squares(10), validation=0.2, test=Squares(3))
    assert (data.train.rows, data.split("validation").rows, data.split("test").rows) == (8, 2, 3)
    seen = torch.cat(
        [x for source in (data.train, data.split("validation")) for x, _ in source.batches(3)]
    )
    assert sorted(seen.flatten().tolist()) == list(range(10))
    whole = Data(Squares(5)).train  # type: ignore[arg-type]
    ((x, y),) = whole.batches(None)
    same(y, x**2, because="squares of small integers")
    assert isinstance(Data(TensorDataset(torch.ones(3, 1), torch.ones(3, 1))).train, ArraySource)  # type: ignore[arg-type]


def test_streams_and_loaders() -> None:
    stream = Data(Stream())  # type: ignore[arg-type]
    assert stream.train.rows is None
    assert [len(x) for x, _ in stream.train.batches(2)] == [2, 2, 1]
    with pytest.raises(DataError, match="no length"):
        Data.dataset(Stream(), validation=0.1)
    with pytest.raises(DataError, match="no length"):
        list(stream.train.batches(None))
    loader = Data(DataLoader(Squares(10), batch_size=4)).train  # type: ignore[arg-type]
    assert isinstance(loader, LoaderSource)
    assert [len(x) for x, _ in loader.batches(3)] == [4, 4, 2]  # the loader's own batch size
    assert isinstance(Data(Squares(3)).train, DatasetSource)  # type: ignore[arg-type]


def test_bad_sets() -> None:
    with pytest.raises(DataError, match="train set is empty"):
        Data(Squares(0))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="got int"):
        Data(3)  # type: ignore[arg-type]
    quadruples = TensorDataset(*[torch.ones(2)] * 4)
    with pytest.raises(DataError, match=r"pairs .* list of 4"):
        list(Data(quadruples).train.batches(2))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="a pair"):
        Data.arrays(X, X, validation=Squares(3))  # type: ignore[arg-type]
