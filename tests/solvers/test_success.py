"""Success is told at stationary points alone: random smooth problems, and functions that are not smooth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from thalweg.solvers import Result, Status, least_squares, minimize, minimize_many
from thalweg.solvers.methods import METHODS

ALL = sorted(METHODS)
BOUNDED = ["bfgs", "cg", "lbfgs", "ssbfgs", "ssbroyden"]


def problem(rng: np.random.Generator) -> tuple[Any, Tensor]:
    """Return a smooth function with a minimum, and a start."""
    n = int(rng.choice([1, 2, 3, 5, 10]))
    a, b, c = (torch.from_numpy(rng.normal(size=s)) for s in ((n + 3, n), n + 3, n))
    d = torch.logspace(0, float(rng.uniform(0, 3)), n, dtype=torch.float64)
    functions = {
        "quadratic": lambda x: (d * (x - c) ** 2).sum() / 2,
        "log cosh": lambda x: torch.logaddexp(a @ x - b, b - a @ x).sum(),
        "logistic": lambda x: (
            torch.nn.functional.softplus((a @ x) * b.sign()).sum() + 0.01 * (x**2).sum()
        ),
        "rosenbrock": lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2).sum() + ((1 - x) ** 2).sum(),
        "quartic": lambda x: ((a @ x - b) ** 4).sum() + ((x - c) ** 2).sum() / 2,
        "waves": lambda x: (torch.cos(2 * (x - c)) + 0.3 * (x - c) ** 2).sum(),
    }
    x0 = torch.from_numpy(rng.normal(size=n) * float(rng.choice([0.1, 1, 3])))
    return functions[str(rng.choice(sorted(functions)))], x0


@pytest.mark.sampled(6)
@pytest.mark.parametrize("seed", range(240))
def test_success_is_where_scipy_finds_nothing_lower(seed: int) -> None:
    """In other scales of x and f, shifted, and within bounds."""
    rng = np.random.default_rng(seed)
    fun, x0 = problem(rng)
    size_x, size_f = (10.0 ** rng.uniform(-6, 6) for _ in "xf")
    shift = float(rng.choice([0, 0, 1e6, -1e6]))
    box = None
    if seed % 3 == 0:
        low, high = (x0 + s * torch.from_numpy(rng.uniform(0, 2, len(x0))) for s in (-1, 1))
        box = (low * size_x, high * size_x)
    method = str(rng.choice(ALL if box is None else BOUNDED))
    values: list[float] = []

    def scaled(x: Tensor) -> Tensor:
        value: Tensor = size_f * (fun(x / size_x) + shift)
        values.append(float(value.detach()))
        return value

    result = minimize(scaled, x0 * size_x, method, bounds=box, max_iter=400)
    # What is left is rounding, or a last step that promised less than tol·max(|f|, tol·fallen).
    promised = 1e-8 * max(abs(result.fun), 1e-8 * (values[0] - result.fun))
    assert result.fun <= min(values) + 2 * promised
    # Steepest descent is slow; newton-cg tries −g where the Hessian bends down, whatever the scale of x.
    assert method in ("steepest", "newton-cg") or result.success, result
    if not result.success:
        return
    x = result.x / size_x
    ends = None if box is None else list(zip(low.tolist(), high.tolist(), strict=True))
    lower = optimize.minimize(
        lambda z: _both(fun, z), x.numpy(), jac=True, method="L-BFGS-B", bounds=ends
    )
    end, start = float(fun(x)), float(fun(x0))
    # 1e-8 of the first gradient, and rounding of what was added.
    assert end - lower.fun <= 1e-7 * (abs(end) + start - end) + 1e-14 * abs(shift)


def _both(fun: Any, z: Any) -> tuple[float, Any]:
    x = torch.from_numpy(z)
    return float(fun(x)), torch.func.grad(fun)(x).numpy()


def jump(x: Tensor) -> Tensor:
    return x.sum() if x[0].item() > 0 else -x.sum()


def wrong_gradient(x: Tensor) -> Tensor:
    return ((x.detach() - 1) ** 2).sum() + (x - x.detach()).sum()


def kink(x: Tensor) -> Tensor:
    return 5 + x.abs().sum() + x[0]


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("fun", [jump, wrong_gradient, kink])
def test_a_search_that_ends_at_a_jump_or_a_kink_is_no_success(fun: Any, method: str) -> None:
    result = minimize(fun, [3.0, 4.0], method, max_iter=60)
    assert not result.success, result


def step_down_to_zero(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1 + x, 2 - x).sum()


@pytest.mark.parametrize("start", [[1e-9], [1e-9, 3.0], [2e-3, 1e-9]])
@pytest.mark.parametrize("search", ["wolfe", "hager-zhang", "armijo"])
@pytest.mark.parametrize("method", ["bfgs", "cg"])
def test_a_crawl_towards_a_jump_ends(method: str, search: str, start: list[float]) -> None:
    """Each step is lower than the last, and much lower than it could promise."""
    result = minimize(step_down_to_zero, start, method, search=search, max_iter=5000)
    # a search tries tens of points, and ten steps in a row may do little
    assert result.nfev < 500, result
    if len(start) > 1:
        assert result.status is Status.STALLED
    else:  # within the rounding of the lowest value there is nothing to gain
        assert result.status is Status.STALLED or result.fun == 1
    together = minimize_many(step_down_to_zero, [start, start], method, search=search)
    for one in together:
        assert (one.status, one.nfev) == (result.status, result.nfev)


def test_a_radius_too_small_to_move_is_no_success() -> None:
    results: list[Result] = [
        minimize(lambda x: ((x - 1) ** 4).sum(), [3.0, 4.0], method, radius=1e-300)
        for method in ("trust-exact", "trust-ncg")
    ]
    results.append(least_squares(lambda x: x**2 - 1, [3.0, 4.0], radius=1e-300))
    for result in results:
        assert result.success == (float(result.grad.abs().max()) < 1e-3), result


def test_a_gradient_whose_square_is_zero_ends_a_run() -> None:
    result = minimize(lambda x: torch.exp(-x).sum(), [3.0], "steepest")
    assert result.status in (Status.CONVERGED, Status.UNBOUNDED, Status.ITERATIONS)
    assert math.isfinite(result.fun)
