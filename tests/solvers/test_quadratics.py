"""The problems with known answers have these answers."""

from __future__ import annotations

import math

import pytest
import torch

from tests.solvers import quadratics


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e6])
def test_a_quadratic_has_its_condition_and_its_minimum(condition: float) -> None:
    f = quadratics.quadratic(6, condition, seed=1, low=-3.0)
    eigenvalues = torch.linalg.eigvalsh(f.A)
    assert float(eigenvalues[-1] / eigenvalues[0]) == pytest.approx(condition, rel=1e-6)
    assert float(f(f.c)) == pytest.approx(-3.0)
    assert float(torch.func.grad(f)(f.c).abs().max()) <= 1e-12 * condition


def test_the_optimum_of_the_logistic_regression() -> None:
    fun, w = quadratics.logistic()
    assert float(torch.func.grad(fun)(w).abs().max()) <= 1e-13
    assert float(fun(w)) < float(fun(torch.zeros_like(w)))


def test_the_saddle_and_its_minima() -> None:
    gradient = torch.func.grad(quadratics.saddle)
    hessian = torch.func.jacrev(gradient)
    for point, lowest in (((0.0, 0.0), -1.0), ((0.0, 1.0), 2.0), ((0.0, -1.0), 2.0)):
        x = torch.tensor(point, dtype=torch.float64)
        assert float(gradient(x).abs().max()) == pytest.approx(0.0)
        assert float(torch.linalg.eigvalsh(hessian(x))[0]) == pytest.approx(lowest)


def test_the_unbounded_function_falls() -> None:
    assert float(quadratics.unbounded(torch.tensor([1e9, 0.0]))) < -1e8


def test_the_logarithm_is_undefined_beside_its_domain() -> None:
    f, x = quadratics.log_barrier, torch.tensor([0.1], dtype=torch.float64)
    assert float(torch.func.grad(f)(x)) == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(float(f(-x)))
    assert float(f(torch.zeros(1))) == math.inf
    start = torch.tensor(quadratics.LOG_BARRIER_START, dtype=torch.float64)
    assert math.isnan(float(f(start - torch.func.grad(f)(start))))
