from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tests.exact import same
from thalweg.errors import DataError
from thalweg.tasks import Scaler, min_max_scale, one_hot, standardize

X = np.random.default_rng(0).normal(3, 5, size=(20, 4))


def test_scalings_against_scikit_learn() -> None:
    np.testing.assert_allclose(standardize(X), StandardScaler().fit_transform(X))
    np.testing.assert_allclose(min_max_scale(X), MinMaxScaler().fit_transform(X), atol=1e-15)


def test_a_constant_column_is_only_shifted() -> None:
    x = np.array([[1.0, 7.0], [3.0, 7.0]])
    assert standardize(x).tolist() == [[-1, 0], [1, 0]]
    assert Scaler.min_max(x)(np.array([[5.0, 9.0]])).tolist() == [[2, 2]]


@pytest.mark.parametrize("fit", [Scaler.standard, Scaler.min_max])
def test_inverse_and_kinds(fit) -> None:  # type: ignore[no-untyped-def]
    scaler = fit(X)
    np.testing.assert_allclose(scaler.inverse(scaler(X)), X)
    tensor = torch.from_numpy(X)
    assert isinstance(scaler(tensor), torch.Tensor)
    assert isinstance(scaler(X), np.ndarray)
    why = "a difference and a quotient of each number by itself"
    same(scaler(tensor).numpy(), scaler(X), because=why)
    same(scaler.inverse(tensor).numpy(), scaler.inverse(X), because=why)


def test_scaling_errors() -> None:
    with pytest.raises(DataError, match="empty"):
        Scaler.standard(X[:0])
    with pytest.raises(DataError, match=r"rows of shape \(4,\); got rows of shape \(3,\)"):
        Scaler.standard(X)(X[:, :3])


def test_one_hot() -> None:
    assert one_hot(np.array([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    rows = one_hot(torch.tensor([1, 0]))
    assert rows.dtype == torch.get_default_dtype()
    assert rows.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 3], 3, "from 0 to 2; got 0 to 3"),
        ([-1, 0], None, "got -1 to 0"),
        ([0.5], None, "integers"),
        ([], None, "no labels"),
    ],
)
def test_one_hot_errors(labels: list[float], classes: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        one_hot(np.array(labels), classes)
