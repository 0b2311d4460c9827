"""What `minimize` promises, on functions whose answers are known."""

from __future__ import annotations

import itertools
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
FAST = [name for name in ALL if name != "steepest"]
ON_LINES = ["bfgs", "cg", "lbfgs", "newton", "newton-cg", "ssbfgs", "ssbroyden"]


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def logarithm(x: Tensor) -> Tensor:
    """Not defined for x ≤ 0; lowest at .1."""
    return (100 * x - 10 * torch.log(x)).sum()


def quadratic(n: int, condition: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return A, positive definite, and b of ½xᵀAx − bᵀx."""
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    spectrum = torch.logspace(0, math.log10(condition), n, dtype=torch.float64)
    return q @ torch.diag(spectrum) @ q.T, torch.randn(n, generator=generator, dtype=torch.float64)


def path(fun: Any, x0: Any, method: str, **options: Any) -> tuple[list[Tensor], Result]:
    points: list[Tensor] = [torch.as_tensor(x0, dtype=torch.float64)]
    result = minimize(fun, x0, method, callback=lambda x, _: points.append(x.clone()), **options)
    return points, result


def gradient(fun: Any, x: Tensor) -> Tensor:
    return torch.func.grad(fun)(x)


@pytest.mark.parametrize("method", FAST)
def test_rosenbrock_is_solved(method: str) -> None:
    result = minimize(rosenbrock, [-1.2, 1.0], method)
    assert result.success, result
    torch.testing.assert_close(result.x, torch.ones(2, dtype=torch.float64), rtol=1e-5, atol=1e-5)


def test_conjugate_gradients_need_one_exact_search_a_dimension() -> None:
    a, b = quadratic(8, 50.0)
    points, result = path(
        lambda x: x @ a @ x / 2 - b @ x,
        torch.zeros(8, dtype=torch.float64),
        "cg",
        c2=1e-10,
        max_iter=8,
    )
    assert result.grad.norm() < 1e-6 * b.norm()
    steps = torch.stack([after - before for before, after in itertools.pairwise(points)])
    products = steps @ a @ steps.T
    lengths = products.diagonal().sqrt()
    cosines = products / lengths / lengths[:, None] - torch.eye(len(steps), dtype=torch.float64)
    assert cosines.abs().max() < 1e-5  # dᵢᵀAdⱼ = 0, to what n steps of rounding leave


def test_bfgs_needs_n_exact_searches() -> None:
    a, b = quadratic(8, 50.0)
    result = minimize(
        lambda x: x @ a @ x / 2 - b @ x,
        torch.zeros(8, dtype=torch.float64),
        "bfgs",
        c2=1e-10,
        max_iter=8,
    )
    torch.testing.assert_close(result.x, torch.linalg.solve(a, b), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("remedy", ["damped", "saddle-free"])
def test_newton_solves_a_quadratic_in_one_step(remedy: str) -> None:
    a, b = quadratic(12, 1e4)
    points, _ = path(
        lambda x: x @ a @ x / 2 - b @ x,
        torch.ones(12, dtype=torch.float64),
        "newton",
        remedy=remedy,
    )
    torch.testing.assert_close(points[1], torch.linalg.solve(a, b), rtol=1e-9, atol=1e-9)


def test_newton_converges_quadratically_on_logistic_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=generator, dtype=torch.float64)
    y = (x[:, 0] + torch.randn(60, generator=generator, dtype=torch.float64) > 0).double()

    def loss(w: Tensor) -> Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(x @ w, y)

    points, result = path(loss, torch.zeros(4, dtype=torch.float64), "newton", tol=1e-12)
    errors = [float((point - result.x).norm()) for point in points[:-1]]
    rates = [after / before**2 for before, after in itertools.pairwise(errors) if after > 1e-12]
    assert result.nit <= 9
    assert max(rates) < 1.0


@pytest.mark.parametrize("remedy", ["damped", "saddle-free"])
def test_newton_descends_beside_a_saddle(remedy: str) -> None:
    result = minimize(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, [1.0, 1e-3], "newton", remedy=remedy
    )
    assert result.success
    assert result.fun == pytest.approx(-1.0)


@pytest.mark.parametrize("method", ["trust-exact", "trust-ncg"])
def test_a_trust_region_leaves_a_saddle(method: str) -> None:
    result = minimize(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, [1.0, 1e-3], method)
    assert result.success
    assert result.fun == pytest.approx(-1.0)


@pytest.mark.parametrize("method", ON_LINES)
def test_strong_wolfe_holds_at_each_step(method: str) -> None:
    c1, c2 = 1e-4, (0.1 if method == "cg" else 0.9)
    points, result = path(rosenbrock, [-1.2, 1.0, 0.5, -0.3], method)
    assert result.success
    for before, after in itertools.pairwise(points):
        step = after - before
        slope, slope_after = step @ gradient(rosenbrock, before), step @ gradient(rosenbrock, after)
        f, f_after = rosenbrock(before), rosenbrock(after)
        if abs(f_after - f) > 1e-13 * abs(f):  # below, rounding decides
            assert f_after <= f + c1 * slope + 1e-15 * abs(f)
        assert abs(slope_after) <= c2 * abs(slope) * (1 + 1e-9)


def test_full_history_is_bfgs() -> None:
    first, _ = path(rosenbrock, [-1.2, 1.0, 0.7], "bfgs")
    second, _ = path(rosenbrock, [-1.2, 1.0, 0.7], "lbfgs", history=200)
    # The two scale their first matrix differently after the second step: BFGS keeps its first scale.
    for a, b in zip(first[:3], second[:3], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_scale_of_the_objective_does_not_matter(method: str, scale: float) -> None:
    start = [1.5, 1.2]
    plain, _ = path(rosenbrock, start, method, max_iter=12)
    scaled, _ = path(lambda x: scale * rosenbrock(x), start, method, max_iter=12)
    for a, b in zip(plain, scaled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ALL)
def test_where_nothing_is_defined_the_search_goes_back(method: str) -> None:
    result = minimize(logarithm, 0.5, method)
    assert result.success
    assert result.x.item() == pytest.approx(0.1, rel=1e-6)
    assert result.nfev <= 60


@pytest.mark.parametrize("method", ALL)
def test_a_start_where_nothing_is_defined_is_told(method: str) -> None:
    result = minimize(logarithm, -1.0, method)
    assert result.status is Status.UNDEFINED
    assert not result.success
    assert result.x.item() == -1.0
    assert result.nit == 0


@pytest.mark.parametrize("method", ALL)
def test_an_objective_without_end_is_told(method: str) -> None:
    result = minimize(lambda x: -(x.sum() ** 3), [1.0, 2.0], method)
    assert result.status is Status.UNBOUNDED
    assert result.fun < -1e50


@pytest.mark.parametrize("method", FAST)
def test_a_float32_start_is_minimised_in_float32(method: str) -> None:
    result = minimize(rosenbrock, torch.tensor([-1.2, 1.0]), method)
    assert result.x.dtype == torch.float32
    torch.testing.assert_close(result.x, torch.ones(2), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("method", ALL)
def test_a_start_at_the_minimum_has_converged(method: str) -> None:
    result = minimize(rosenbrock, torch.ones(3), method)
    assert result.success
    assert result.nit == 0
    assert result.nfev == 1


@pytest.mark.parametrize("method", FAST)
def test_a_start_within_rounding_of_the_minimum_has_converged(method: str) -> None:
    found = minimize(lambda x: rosenbrock(x) + 5.0, [-1.2, 1.0], method)
    again = minimize(lambda x: rosenbrock(x) + 5.0, found.x, method)
    assert again.success, again


def test_budgets_hold_and_say_so() -> None:
    few = minimize(rosenbrock, [-1.2, 1.0], max_iter=3)
    assert few.nit == 3
    assert few.status is Status.ITERATIONS
    assert "max_iter" in few.message
    for method in ALL:
        evaluations = minimize(rosenbrock, [-1.2, 1.0], method, max_evals=7)
        assert evaluations.nfev <= 7
        assert evaluations.status is Status.EVALUATIONS
        assert evaluations.fun <= 24.2


def test_a_callback_may_end_a_run() -> None:
    result = minimize(rosenbrock, [-1.2, 1.0], callback=lambda x, fun: fun < 1.0)
    assert result.status is Status.STOPPED
    assert result.fun < 1.0


def test_the_start_is_left_alone_and_the_shape_kept() -> None:
    x0 = torch.zeros(2, 3, dtype=torch.float64)
    result = minimize(lambda x: ((x - 1) ** 2).sum(), x0)
    assert float(x0.abs().sum()) == 0.0
    assert result.x.shape == result.grad.shape == (2, 3)


@pytest.mark.parametrize(
    ("fun", "error", "words"),
    [
        (lambda x: x, ValueError, "one number"),
        (lambda x: 3.0, TypeError, "float"),
        (lambda x: torch.tensor(3.0), ValueError, "does not depend on x"),
        (lambda x: (x * 1j).sum(), ValueError, "complex"),
    ],
)
def test_what_is_no_objective_is_refused(fun: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        minimize(fun, [1.0, 2.0])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="Did you mean 'lbfgs'"):
        minimize(rosenbrock, [1.0, 2.0], "lbfg")
    with pytest.raises(TypeError, match="Did you mean 'history'"):
        minimize(rosenbrock, [1.0, 2.0], "lbfgs", histories=3)
    with pytest.raises(ValueError, match="takes no bounds"):
        minimize(rosenbrock, [1.0, 2.0], "trust-exact", bounds=(0, 1))


@pytest.mark.parametrize("method", ["bfgs", "cg", "lbfgs", "ssbfgs", "ssbroyden", "newton"])
@pytest.mark.parametrize("seed", range(4))
def test_bounds_give_what_scipy_gives(method: str, seed: int) -> None:
    a, b = quadratic(6, 30.0, seed)
    low, high = (
        torch.full((6,), -0.3, dtype=torch.float64),
        torch.full((6,), 0.2, dtype=torch.float64),
    )
    found = minimize(
        lambda x: x @ a @ x / 2 - b @ x,
        torch.zeros(6, dtype=torch.float64),
        method,
        bounds=(low, high),
    )
    known = optimize.minimize(
        lambda x: (x @ a.numpy() @ x / 2 - b.numpy() @ x, a.numpy() @ x - b.numpy()),
        np.zeros(6),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-0.3, 0.2)] * 6,
        options={"ftol": 1e-15, "gtol": 1e-12},
    )
    assert found.success, found
    torch.testing.assert_close(found.x, torch.from_numpy(known.x), rtol=1e-5, atol=1e-6)


def test_a_start_outside_the_bounds_is_moved_inside() -> None:
    result = minimize(lambda x: (x**2).sum(), [5.0, -5.0], bounds=(1.0, 2.0))
    assert result.success
    assert result.x.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((1.0, 0.0), "low > high"),
        (3.0, "pair"),
        ((math.nan, None), "NaN"),
        ((torch.zeros(5), None), "shape"),
        ([(0.5, 2.0), (0.7, 2.0)], "not a pair for each"),
    ],
)
def test_wrong_bounds_are_refused(bounds: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        minimize(rosenbrock, [1.0, 2.0], bounds=bounds)


@pytest.mark.parametrize("method", ALL)
def test_many_starts_give_what_each_gives_alone(method: str) -> None:
    generator = torch.Generator().manual_seed(1)
    starts = 2 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
    together = minimize_many(rosenbrock, starts, method, max_iter=8)
    for start, result in zip(starts, together, strict=True):
        alone = minimize(rosenbrock, start, method, max_iter=8)
        # The same numbers, summed in other orders; eight steps let rounding grow.
        torch.testing.assert_close(result.x, alone.x, rtol=1e-6, atol=1e-6)
        assert (result.nit, result.nfev) == (alone.nit, alone.nfev)


@pytest.mark.parametrize("search", ["wolfe", "hager-zhang", "armijo"])
@pytest.mark.parametrize("method", ["bfgs", "cg", "newton"])
def test_many_starts_count_what_each_counts_alone(method: str, search: str) -> None:
    generator = torch.Generator().manual_seed(2)
    starts = 3 * torch.randn(5, 2, generator=generator, dtype=torch.float64)
    options: dict[str, Any] = {"search": search, "max_iter": 6, "max_evals": 11}
    together = minimize_many(rosenbrock, starts, method, **options)
    for start, result in zip(starts, together, strict=True):
        alone = minimize(rosenbrock, start, method, **options)
        assert (result.nit, result.nfev, result.status) == (alone.nit, alone.nfev, alone.status)
        told = [(record.evaluations, record.fun, record.gradient) for record in result.history]
        torch.testing.assert_close(
            torch.tensor(told, dtype=torch.float64),
            torch.tensor([tuple(record) for record in alone.history], dtype=torch.float64),
            rtol=1e-6,
            atol=1e-6,
        )


@pytest.mark.parametrize("method", ["bfgs", "lbfgs"])
def test_many_starts_keep_bounds(method: str) -> None:
    starts = torch.tensor([[-1.2, 1.0], [0.3, 0.2], [0.5, -3.0]], dtype=torch.float64)
    together = minimize_many(rosenbrock, starts, method, bounds=(-0.5, 0.5))
    for start, result in zip(starts, together, strict=True):
        alone = minimize(rosenbrock, start, method, bounds=(-0.5, 0.5))
        assert result.success
        torch.testing.assert_close(result.x, alone.x, rtol=1e-6, atol=1e-6)


def test_starts_without_a_lower_point_end_as_one_does() -> None:
    def wrong(x: Tensor) -> Tensor:  # x² whose gradient says −1
        return (x**2).sum().detach() - (x - x.detach()).sum()

    starts = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    together = minimize_many(wrong, starts)
    for start, result in zip(starts, together, strict=True):
        alone = minimize(wrong, start)
        assert (result.status, result.nfev) == (alone.status, alone.nfev)
        assert result.fun == pytest.approx(alone.fun)


def test_one_bad_start_spoils_no_other() -> None:
    results = minimize_many(logarithm, torch.tensor([[0.5], [-1.0], [3.0]], dtype=torch.float64))
    assert [result.success for result in results] == [True, False, True]
    assert results[1].status is Status.UNDEFINED


@pytest.mark.parametrize("method", ["newton", "newton-cg", "trust-exact", "trust-ncg"])
def test_a_hessian_that_is_not_finite_does_not_end_the_descent(method: str) -> None:
    """At x₁ = x₂ = 0 PyTorch's gradient of the length is 0, and its second derivative NaN."""

    def fun(x: Tensor) -> Tensor:
        return x[1:].norm() + (x - 1).square().sum()

    starts = torch.tensor([[2.0, 0.0, 0.0], [1.0, 2.0, 3.0]], dtype=torch.float64)
    at = 1 - math.sqrt(0.125)
    alone = minimize(fun, starts[0], method, max_evals=200)
    for result in [alone, *minimize_many(fun, starts, method, max_evals=200)]:
        assert result.success, result
        torch.testing.assert_close(
            result.x, torch.tensor([1.0, at, at], dtype=torch.float64), rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("method", ["trust-exact", "trust-ncg"])
@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 1e20), (torch.float64, 1e200)])
def test_numbers_whose_squares_are_infinite_end_a_trust_region_without_success(
    method: str, dtype: torch.dtype, scale: float
) -> None:
    start = torch.ones(3, dtype=dtype)
    result = minimize(lambda x: scale * x.square().sum(), start, method, max_evals=50)
    assert result.status is Status.STALLED or float(result.x.abs().max()) < 1e-3, result


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairs_whose_squares_are_zero_are_no_pairs(dtype: torch.dtype) -> None:
    start = torch.ones(2, dtype=dtype)
    result = minimize(lambda x: (x**4).sum(), start, "lbfgs", tol=0.0)
    [other] = minimize_many(lambda x: (x**4).sum(), start[None], "lbfgs", tol=0.0)
    for found in (result, other):
        assert float(found.x.abs().max()) < 1e-6
        assert bool(torch.isfinite(found.x).all())


def test_least_squares_fits_a_curve_with_fewer_residuals_than_parameters() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    b = torch.randn(3, generator=generator, dtype=torch.float64)
    result = least_squares(lambda x: a @ x - b, torch.zeros(7, dtype=torch.float64))
    assert result.success
    torch.testing.assert_close(a @ result.x, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", ["lm", "trust-ncg"])
def test_least_squares_agrees_with_minimising_the_squares(method: str) -> None:
    def residuals(x: Tensor) -> Tensor:
        return torch.cat([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])

    result = least_squares(residuals, [-1.2, 1.0, 0.5], method)
    assert result.success
    assert result.fun < 1e-12
    torch.testing.assert_close(result.x, torch.ones(3, dtype=torch.float64), rtol=1e-5, atol=1e-5)


def test_a_gradient_at_a_bound_does_not_make_an_end_a_stall() -> None:
    """The minimum lies exactly where the first step ends; the gradient at the bound stays large."""
    weight = torch.tensor([1.0, 1e4, 1e8], dtype=torch.float64)
    result = minimize(
        lambda x: (weight * (x - 1) ** 2).sum(),
        torch.zeros(3, dtype=torch.float64),
        "cg",
        preconditioner=1 / weight,
        bounds=(None, torch.tensor([2.0, 0.5, 2.0])),
    )
    assert result.success, result.message
