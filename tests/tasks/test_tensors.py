"""Arrays of every kind: the right numbers, or an error that says what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.exact import same
from thalweg.errors import DataError
from thalweg.objective import Cost
from thalweg.tasks import Data, Task
from thalweg.tasks.encode import Scaler
from thalweg.tasks.sources.tensors import as_tensor
from thalweg.train import fit

ROWS = np.arange(6.0).reshape(3, 2)


class Table:
    """Stands for a table of any library: NumPy is given its values."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.values, dtype)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (np.ma.array(ROWS, mask=False), torch.float64, ROWS.tolist()),
        (np.array([[1, 2.5], [True, 3]], dtype=object), torch.float64, [[1, 2.5], [1, 3]]),
        (Table(np.array([[1], [2]], dtype=object)), torch.int64, [[1], [2]]),
        (np.array([1, 65535], "u2"), torch.int32, [1, 65535]),
        (np.array([1, 2**32 - 1], "u4"), torch.int64, [1, 2**32 - 1]),
        (np.array([1, 2**63 - 1], "u8"), torch.int64, [1, 2**63 - 1]),
        (np.ones(2, np.longdouble), torch.float64, [1, 1]),
        (np.ones(2, np.clongdouble), torch.complex128, [1, 1]),
        ([torch.ones(2, requires_grad=True), torch.zeros(2)], torch.float32, [[1, 1], [0, 0]]),
        ([torch.ones(1, dtype=torch.bfloat16)] * 2, torch.bfloat16, [[1], [1]]),
    ],
)
def test_values_that_are_numbers(value: Any, dtype: torch.dtype, expected: Any) -> None:
    tensor = as_tensor(value, "inputs")
    assert (tensor.dtype, tensor.tolist()) == (dtype, expected)


MASKED = np.ma.array(ROWS, mask=[[0, 0], [0, 1], [0, 0]])
STRUCTURED = np.array([(1.0, 2.0)], dtype=[("a", "f8"), ("b", "f8")])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (MASKED, r"masked in 1 of 3 rows, first in row 1.*x\.filled"),
        ([MASKED[0], MASKED[1]], "masked in row 1"),
        (sparse.csr_array(np.eye(2)), r"sparse matrix .*x\.toarray\(\)"),
        (torch.eye(2).to_sparse(), r"sparse tensor.*x\.to_dense\(\)"),
        (np.array([1, 2**63], "u8"), "above 2⁶³ − 1"),
        (
            np.array([[1, None]], dtype=object),
            r"missing values \(None\), 1 of them, first in row 0",
        ),
        ([[2**70]], "not an array of numbers"),
        (STRUCTURED, r"np\.stack\(\[x\[name\]"),
        (np.array(["2020-01-01"], "M8[D]"), "np.timedelta64"),
        (np.array(["a"]), "not an array of numbers"),
        ([torch.ones(2), torch.ones(3)], "different shapes"),
    ],
)
def test_values_that_are_none(value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_tensor(value, "inputs")


@pytest.mark.parametrize("dtype", ["S1", "U1", object])
def test_names_of_classes(dtype: Any) -> None:
    with pytest.raises(DataError, match="Number the classes"):
        Data.arrays(ROWS, np.array(["a", "b", "a"], dtype))


def test_masks_in_every_set_and_in_prediction() -> None:
    with pytest.raises(DataError, match="train targets are masked"):
        Data.arrays(ROWS, MASKED)
    with pytest.raises(DataError, match="validation inputs are masked"):
        Data.arrays(ROWS, ROWS, validation=(MASKED, ROWS))
    task = Task(Data.arrays(ROWS, ROWS), Cost("mse"), lambda: torch.nn.Linear(2, 2))
    run = fit(task, torch.optim.SGD, lr=0.0, epochs=1, progress=False)
    with pytest.raises(DataError, match="inputs of predict are masked"):
        run.predict(MASKED)
    with pytest.raises(DataError, match="these are complex"):
        run.predict(ROWS * 1j)


def test_complex_numbers_keep_both_parts_or_are_refused() -> None:
    with pytest.raises(DataError, match="NaN or infinity in 1 of 2 rows"):
        Data.arrays(np.array([[1 + 1j * np.nan], [1]]), np.zeros(2))
    with pytest.raises(DataError, match="A scaling is of real numbers"):
        Scaler.standard(np.array([[1j], [2j]]))
    with pytest.raises(DataError, match="A scaling is of real numbers"):
        Scaler.standard(ROWS)(ROWS * 1j)


def test_fractions_as_they_are_written() -> None:
    for rows, fraction, expected in (
        (90, 0.3, 27),
        (50, 0.34, 17),
        (10, 0.8, 8),
        (10, 0.9, 9),
        (90, np.float32(0.3), 27),
        (90, np.float64(0.3), 27),
    ):
        x = np.zeros((rows, 1))
        for split in ("random", "last"):
            data = Data.arrays(x, x, validation=fraction, split=split)  # type: ignore[arg-type]
            assert data.split("validation").rows == expected
        whole = torch.utils.data.StackDataset(torch.zeros(rows), torch.zeros(rows))
        assert Data.dataset(whole, test=fraction).split("test").rows == expected
    labels = np.array([0] * 90 + [1] * 10)
    cut = Data.arrays(np.zeros((100, 1)), labels, validation=0.3, split="stratified")
    assert np.bincount(cut.validation.targets).tolist() == [27, 3]  # type: ignore[union-attr]


def test_seeds_of_any_kind() -> None:
    x = np.arange(20.0)
    cuts = [Data.arrays(x, x, validation=0.5, seed=seed).train for seed in (3, np.int64(3))]
    same(cuts[0].inputs, cuts[1].inputs, because="copies")  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="seed must be an integer"):
        Data.arrays(x, x, validation=0.5, seed=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [">f4", "<f4", ">f8", ">i2", ">c8", ">u2"])
def test_numbers_of_either_order_of_bytes(kind: str) -> None:
    numbers = np.arange(6).reshape(3, 2)
    tensor = as_tensor(numbers.astype(kind), "inputs")
    same(
        tensor.to(torch.complex128),
        torch.from_numpy(numbers).to(torch.complex128),
        because="small integers are held exactly",
    )
