from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from thalweg.solvers import Status, lasso

sklearn = pytest.importorskip("sklearn.linear_model")


def problem(rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    A = generator.normal(size=(rows, columns)) + 0.5 * generator.normal(size=(rows, 1))
    w = np.where(np.arange(columns) < 4, generator.normal(size=columns), 0)
    return A, A @ w + 0.3 * generator.normal(size=rows) + 2


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shape", [(60, 20), (30, 45)])
@pytest.mark.parametrize("penalty", [0.03, 0.1, 0.7])
def test_it_is_scikit_learns(shape: tuple[int, int], penalty: float, intercept: bool) -> None:
    A, y = problem(*shape)
    theirs = sklearn.Lasso(penalty, fit_intercept=intercept, tol=1e-15, max_iter=1_000_000)
    theirs.fit(A, y)
    if intercept:
        result = lasso(A - A.mean(0), y - y.mean(), penalty)
        assert abs(y.mean() - A.mean(0) @ result.x.numpy() - theirs.intercept_) < 1e-8
    else:
        result = lasso(A, y, penalty)
    assert result.success
    assert np.abs(result.x.numpy() - theirs.coef_).max() < 1e-8
    falls = [a.fun - b.fun for a, b in zip(result.history, result.history[1:], strict=False)]
    assert min(falls) > -1e-14 * result.history[0].fun


def test_above_the_largest_correlation_all_are_zero_and_below_one_is_not() -> None:
    A, y = problem(40, 10)
    least = float(np.abs(A.T @ y).max() / 40)
    assert not lasso(A, y, least * (1 + 1e-9)).x.any()
    assert int((lasso(A, y, least * 0.999).x != 0).sum()) == 1


def test_no_penalty_is_least_squares_and_a_start_there_needs_no_sweep() -> None:
    A, y = problem(50, 6)
    result = lasso(A, y, 0)
    expected = np.linalg.lstsq(A, y, rcond=None)[0]
    assert np.abs(result.x.numpy() - expected).max() < 1e-9
    assert lasso(A, y, 0, x0=result.x).nit == 0


def test_a_column_of_zeros_float32_and_too_few_sweeps() -> None:
    A, y = problem(30, 5)
    A[:, 2] = 0
    single = lasso(torch.tensor(A, dtype=torch.float32), y, 0.01, x0=[1, 1, 1, 1, 1])
    assert single.success
    assert single.x.dtype == torch.float32
    assert single.x[2] == 0
    cut = lasso(A, y, 0.01, max_sweeps=1)
    assert (cut.status, cut.nit, cut.success) == (Status.ITERATIONS, 1, False)
    assert "max_sweeps" in cut.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0], 1.0), "A must be a matrix"),
        (([[1.0]], [1.0, 2.0], 1.0), r"y must have shape \(1,\)"),
        (([[float("nan")]], [1.0], 1.0), "A holds values that are not finite"),
        (([[1j]], [1.0], 1.0), "complex"),
        (([[1.0]], [1.0], -1.0), "penalty must be a finite number of at least 0; got -1.0"),
        (([[1.0]], [1.0], "1"), "penalty must be"),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], message: str) -> None:
    if message == "complex":
        arguments = (torch.tensor(arguments[0]), *arguments[1:])
    with pytest.raises(ValueError, match=message):
        lasso(*arguments)
