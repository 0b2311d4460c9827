"""The test functions are those of the paper: values at the standard starts, minima, derivatives."""

from __future__ import annotations

import collections
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares, minimize

from tests.solvers.mgh import CASES, Minimum, Problem, case
from tests.solvers.mgh.problem import zero

STARTS = {
    "01 Rosenbrock n=2": 24.2,
    "02 Freudenstein and Roth n=2": 400.5,
    "03 Powell badly scaled n=2": 1.13526171734838,
    "04 Brown badly scaled n=2": 999998000003.0,
    "05 Beale n=2": 14.203125,
    "06 Jennrich and Sampson n=2": 4171.306,
    "07 helical valley n=3": 2500.0,
    "08 Bard n=3": 41.6817,
    "09 Gaussian n=3": 3.88811e-6,
    "10 Meyer n=3": 1.69361e9,
    "11 Gulf research and development n=3": 12.1107,
    "12 Box three-dimensional n=3": 1031.15,
    "13 Powell singular n=4": 215.0,
    "14 Wood n=4": 19192.0,
    "15 Kowalik and Osborne n=4": 5.31317e-3,
    "16 Brown and Dennis n=4": 7926693.336997,
    "17 Osborne 1 n=5": 0.879026,
    "18 Biggs EXP6 n=6": 0.779070,
    "19 Osborne 2 n=11": 2.09342,
    "20 Watson n=6": 30.0,
    "20 Watson n=9": 30.0,
    "20 Watson n=12": 30.0,
    "21 extended Rosenbrock n=10": 5 * 24.2,
    "21 extended Rosenbrock n=100": 50 * 24.2,
    "22 extended Powell singular n=12": 3 * 215.0,
    "22 extended Powell singular n=100": 25 * 215.0,
    "23 penalty I n=4": 1e-5 * 14 + 29.75**2,
    "23 penalty I n=10": 1e-5 * 285 + 384.75**2,
    "24 penalty II n=4": 2.34000880546,
    "24 penalty II n=10": 162.652776565967,
    "25 variably dimensioned n=10": 3.85 + 38.5**2 + 38.5**4,
    "26 trigonometric n=10": 7.07575946622e-3,
    "27 Brown almost-linear n=10": 9 * 5.5**2 + (2.0**-10 - 1) ** 2,
    "30 Broyden tridiagonal n=10": 2.0**2 + 8 * 1.0**2 + 3.0**2,
    "31 Broyden banded n=10": 10 * 6.0**2,
    "32 linear, full rank n=10": 10 * 1.0**2 + 10 * 2.0**2,
    "33 linear, rank 1 n=10": 55.0**2 * 2870 - 2 * 55 * 210 + 20,
    "34 linear, rank 1, zeros n=10": 44.0**2 * 2109 - 2 * 44 * 171 + 20,
    "35 Chebyquad n=8": 0.0386176982859,
    "35 Chebyquad n=10": 0.0337632655,
}
"""Values at the standard starts: those of the Fortran collections of the functions, or sums done by hand."""

ATTAINED = [(p, m) for p in CASES for m in p.minima if m.x is not None and m.finite]
cases = pytest.mark.parametrize("problem", CASES, ids=lambda p: p.label)
minima = pytest.mark.parametrize(
    ("problem", "minimum"), ATTAINED, ids=[f"{p.label}: {m.value:.3g}" for p, m in ATTAINED]
)


def point(minimum: Minimum) -> torch.Tensor:
    return torch.tensor(minimum.x, dtype=torch.float64)


def hessian_of(problem: Problem) -> Callable[[torch.Tensor], torch.Tensor]:
    """Backwards twice: the forward mode of some versions of torch warns."""
    return torch.func.jacrev(torch.func.grad(problem.fun))


def test_all_functions_are_there() -> None:
    assert {p.number for p in CASES} == set(range(1, 36))
    assert len({p.label for p in CASES}) == len(CASES) == 43


@cases
def test_the_numbers_of_variables_and_residuals(problem: Problem) -> None:
    assert problem.residuals(problem.x0).shape == (problem.m,)
    assert problem.m >= problem.n
    assert all(len(m.x) == problem.n for m in problem.minima if m.x is not None)
    assert list(problem.minima) == sorted(problem.minima, key=lambda m: m.value)


@pytest.mark.parametrize("label", STARTS)
def test_the_value_at_the_start(label: str) -> None:
    problem = next(p for p in CASES if p.label == label)
    assert problem.f0 == pytest.approx(STARTS[label], rel=5e-6)  # printed to six digits


@minima
def test_the_value_at_a_minimum(problem: Problem, minimum: Minimum) -> None:
    """The minimizers have twelve digits: the value is off by the square of that, and by rounding."""
    value = float(problem.fun(point(minimum)))
    assert value == pytest.approx(minimum.value, abs=1e-13 * (problem.f0 - minimum.value))
    if minimum.published is not None:
        assert minimum.value == pytest.approx(minimum.published, rel=5e-6)  # cut after six digits


@minima
def test_newton_steps_lead_nowhere_from_a_minimum(problem: Problem, minimum: Minimum) -> None:
    x = point(minimum)
    gradient, hessian = torch.func.grad(problem.fun)(x), hessian_of(problem)(x)
    curvature = torch.linalg.eigvalsh(hessian)
    assert curvature[0] >= -1e-14 * curvature[-1]  # some Hessians are singular: rounding of zero
    step = torch.linalg.pinv(hessian, rtol=1e-11, hermitian=True) @ gradient
    assert float(gradient @ step) / 2 <= 1e-15 * (problem.f0 - minimum.value)


@cases
def test_the_derivatives(problem: Problem) -> None:
    """Near the start, as some are at a point where a first or second derivative is large."""
    generator = torch.Generator().manual_seed(problem.number)
    noise = torch.rand(problem.n, generator=generator, dtype=torch.float64)
    x = (problem.x0 * (1 + 0.01 * noise)).requires_grad_()
    if problem.n <= 12:
        assert torch.autograd.gradcheck(problem.residuals, x, eps=1e-7, atol=1e-3, rtol=1e-4)
    gradient = torch.autograd.grad(problem.fun(x), x)[0]
    along = torch.cos(torch.arange(problem.n, dtype=torch.float64)) * (1 + x.detach().abs())
    h = 1e-5
    ahead, behind = (float(problem.fun(x.detach() + s * h * along)) for s in (1, -1))
    slope = float(gradient @ along)
    size = float(gradient.abs() @ along.abs()) + abs(ahead) * 1e-9
    assert slope == pytest.approx((ahead - behind) / (2 * h), abs=1e-5 * size)


@cases
def test_many_points_at_once(problem: Problem) -> None:
    points = torch.stack([problem.x0, problem.x0 * 1.01, problem.x0 + 0.01])
    together = torch.func.vmap(problem.residuals)(points)
    apart = torch.stack([problem.residuals(x) for x in points])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    hessians = torch.func.vmap(hessian_of(problem))(points)
    assert hessians.isfinite().all()


@pytest.mark.parametrize(
    ("x", "turns"),
    [((1.0, 1.0), 0.125), ((-1.0, 1.0), 0.375), ((-1.0, -1.0), 0.625), ((1.0, -1.0), -0.125)],
)
def test_the_angle_of_the_helical_valley(x: tuple[float, float], turns: float) -> None:
    first = case(7).residuals(torch.tensor((*x, 0.0), dtype=torch.float64))[0]
    assert float(first) == pytest.approx(-100 * turns)


def test_minima_far_away_are_approached() -> None:
    bard = float(case(8).fun(torch.tensor([0.8406666666666667, -1e9, -1e9], dtype=torch.float64)))
    assert bard == pytest.approx(case(8).minima[1].value)
    assert not case(8).minima[1].finite
    far = 1e7
    x = torch.tensor([1.0, 0, -45.25719106, -28.23149659], dtype=torch.float64) * far
    x = x + torch.tensor([0, -14.0758832, 0, 0], dtype=torch.float64)
    assert float(case(15).fun(x)) == pytest.approx(case(15).minima[1].value, rel=1e-4)


def test_the_box_function_has_a_line_of_minima() -> None:
    line = torch.tensor([2.0, 2.0, 0.0], dtype=torch.float64)
    assert float(case(12).fun(line)) <= 1e-24


def test_an_unknown_case_is_refused() -> None:
    assert case(20, 9).n == 9
    with pytest.raises(ValueError, match="function 20 with n = 7"):
        case(20, 7)


def attained(problem: Problem, value: float) -> bool:
    """Return whether a value is that of a listed minimum, or 1e-10 of the way down to it."""
    return any(
        abs(value - m.value) <= max(1e-5 * m.value, 1e-10 * (problem.f0 - m.value))
        for m in problem.minima
    )


@pytest.mark.full
@cases
def test_other_programs_find_the_minima(problem: Problem) -> None:
    """By Levenberg and Marquardt's method, and from the minimizers by quasi-Newton steps."""
    jacobian = torch.func.jacrev(problem.residuals)
    gradient = torch.func.grad(problem.fun)

    def at(z: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(z.copy())

    found = least_squares(
        lambda z: problem.residuals(at(z)).numpy(),
        problem.start,
        jac=lambda z: jacobian(at(z)).numpy(),
        method="lm",
        x_scale="jac",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        max_nfev=5000,
    )
    assert attained(problem, 2 * found.cost)
    for minimum in problem.minima:
        if minimum.x is None or not minimum.finite:
            continue
        near = minimize(
            lambda z: (float(problem.fun(at(z))), gradient(at(z)).numpy()),
            np.array(minimum.x, dtype=float),
            jac=True,
            method="BFGS",
            options={"gtol": 1e-12, "maxiter": 1000},
        )
        assert near.fun == pytest.approx(
            minimum.value, rel=1e-6, abs=1e-12 * (problem.f0 - minimum.value)
        )


def test_counts_of_functions_with_several_cases() -> None:
    counts = collections.Counter(p.number for p in CASES)
    assert {n: c for n, c in counts.items() if c > 1} == {20: 3, 21: 2, 22: 2, 23: 2, 24: 2, 35: 3}
    assert zero(1.0).finite
