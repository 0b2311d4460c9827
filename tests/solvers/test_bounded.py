"""Bounds: the minimum within them is found, by every method that takes bounds, without zigzag."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.solvers.bounded import PROBLEMS, Bounded
from tests.solvers.quadratics import quadratic
from thalweg.solvers import minimize
from thalweg.solvers.descent.bounds import FreeModel

METHODS = ("bfgs", "ssbroyden", "lbfgs", "cg", "newton", "newton-cg")
MOST = 1500


@pytest.mark.sampled(6)
@pytest.mark.parametrize("problem", PROBLEMS, ids=[problem.name for problem in PROBLEMS])
@pytest.mark.parametrize("method", METHODS)
def test_it_comes_to_the_minimum_within_the_bounds(method: str, problem: Bounded) -> None:
    bounds = (problem.low, problem.high)
    result = minimize(problem.fun, problem.start, method, bounds=bounds, max_evals=MOST)
    first = float(problem.fun(torch.clamp(problem.start, problem.low, problem.high)))
    assert result.success, result.message
    assert result.fun - problem.lowest <= 1e-8 * (first - problem.lowest)
    assert bool(((result.x >= problem.low) & (result.x <= problem.high)).all())


@pytest.mark.parametrize("method", ["cg", "newton", "newton-cg"])
def test_bounds_that_are_never_met_change_nothing(method: str) -> None:
    """Conjugate gradients stay conjugate, and Newton's steps whole."""
    f = quadratic(12, 1e2)
    start = torch.zeros(12, dtype=torch.float64)
    free = minimize(f, start, method)
    bounded = minimize(f, start, method, bounds=(-1e6, 1e6))
    assert (free.nit, free.nfev, free.nhvp) == (bounded.nit, bounded.nfev, bounded.nhvp)
    assert torch.allclose(free.x, bounded.x, rtol=1e-9, atol=1e-9)


def test_newton_takes_one_step_in_the_free_parameters() -> None:
    f = quadratic(6, 100.0)
    start = torch.zeros(6, dtype=torch.float64)
    high = torch.full_like(start, torch.inf)
    slope = torch.func.grad(f)(start)
    held = slope < 0  # those that would go up are held where they are
    high[held] = 0.0
    low = torch.where(held, 0.0, -torch.inf)
    result = minimize(f, start, "newton", bounds=(low, high))
    a = f.A[~held][:, ~held]
    expected = torch.zeros_like(start)
    expected[~held] = -torch.linalg.solve(a, slope[~held])
    assert result.history[1].gradient <= 1e-12 * result.history[0].gradient
    assert torch.allclose(result.x, expected, atol=1e-9)


def test_the_model_of_the_free_parameters() -> None:
    hessians = torch.stack([quadratic(5, 10.0, seed).A for seed in range(2)])

    class Whole:
        def __matmul__(self, v: Tensor) -> Tensor:
            return torch.einsum("lij,lj->li", hessians, v)

        def dense(self) -> Tensor:
            return hessians

    free = torch.tensor([[True, False, True, True, False], [False] * 5])
    model = FreeModel(Whole(), free)
    v = torch.arange(10.0, dtype=torch.float64).view(2, 5)
    dense = model.dense()
    assert torch.allclose(model @ v, torch.einsum("lij,lj->li", dense, v))
    assert torch.allclose(dense[1], torch.eye(5, dtype=torch.float64))
    assert torch.allclose(dense[0][free[0]][:, free[0]], hessians[0][free[0]][:, free[0]])
    assert float(dense[0][1].sum()) == 1
