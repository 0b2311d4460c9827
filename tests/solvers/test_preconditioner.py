"""Preconditioned conjugate gradients, alone and within Newton's methods."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.solvers.quadratics import Quadratic, quadratic
from thalweg.solvers import least_squares, minimize, minimize_many
from thalweg.solvers.direction.cg import BETAS, ConjugateGradient
from thalweg.solvers.preconditioner import as_preconditioner

N = 8
BY_PRODUCTS = ("newton-cg", "trust-ncg")


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1::2] - x[0::2] ** 2) ** 2 + (1 - x[0::2]) ** 2).sum()


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def forms(m: Tensor) -> dict[str, Any]:
    return {"matrix": m, "function": lambda r: m @ r, "array": m.numpy()}


@pytest.mark.parametrize("form", ["matrix", "function", "array"])
@pytest.mark.parametrize("beta", BETAS)
def test_the_inverse_of_a_quadratic_takes_one_line_search(beta: str, form: str) -> None:
    f = quadratic(N, 1e6, low=1.0)
    m = torch.linalg.inv(f.A)
    m = (m + m.mT) / 2
    result = minimize(
        f, torch.zeros(N, dtype=torch.float64), "cg", beta=beta, preconditioner=forms(m)[form]
    )
    start, first = result.history[:2]
    # the inverse is known to 1e-16 times the condition
    assert first.gradient <= 1e-9 * start.gradient
    assert result.success
    assert relative(result.x, f.c) < 1e-8
    plain = minimize(f, torch.zeros(N, dtype=torch.float64), "cg", beta=beta)
    assert plain.history[1].gradient > 1e-3 * start.gradient


def scaled(f: Quadratic, scale: Tensor) -> Callable[[Tensor], Tensor]:
    """Return f of scale·u as a function of u."""
    return lambda u: f(scale * u)


@pytest.mark.parametrize("beta", BETAS)
def test_a_diagonal_is_conjugate_gradients_in_scaled_variables(beta: str) -> None:
    f = quadratic(N, 20.0, low=1.0)
    scale = torch.logspace(-3, 3, N, dtype=torch.float64)
    badly = scaled(f, 1 / scale)  # its minimum with M = scale² is that of f
    there = minimize(
        badly,
        torch.zeros(N, dtype=torch.float64),
        "cg",
        beta=beta,
        preconditioner=scale.square(),
        max_iter=6,
    )
    here = minimize(f, torch.zeros(N, dtype=torch.float64), "cg", beta=beta, max_iter=6)
    assert len(there.history) == len(here.history) == 7
    for a, b in zip(there.history, here.history, strict=True):
        # products with powers that are not powers of two are rounded; six steps multiply that
        assert a.fun == pytest.approx(b.fun, rel=1e-9)
        assert a.evaluations == b.evaluations
    assert relative(there.x / scale, here.x) < 1e-9


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("beta", BETAS)
def test_directions_are_conjugate_and_end_after_n_steps(beta: str, lanes: int) -> None:
    f = quadratic(N, 100.0)
    m = quadratic(N, 10.0, seed=3).A
    direction = ConjugateGradient(beta, as_preconditioner(m, f.c))
    x = torch.randn(lanes, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    g = (x - f.c) @ f.A
    first = g.norm()
    state, ds = direction.init(x, g), []
    for _ in range(N):
        d, state = direction.propose(state, g, None)  # type: ignore[arg-type]
        # M⁻¹d by recursion is M⁻¹d
        assert relative(state.w, d @ torch.linalg.inv(m)) < 1e-8
        ds.append(d)
        step = -(g * d).sum(-1, keepdim=True) / ((d @ f.A) * d).sum(-1, keepdim=True) * d
        after = g + step @ f.A
        state = direction.update(state, step, after - g)
        g = after
    assert g.norm() < 1e-9 * first
    for a, b in itertools.combinations(ds[:5], 2):
        cosine = ((a @ f.A) * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))
        assert float(cosine.abs().max()) < 1e-8


@pytest.mark.parametrize("method", BY_PRODUCTS)
def test_newtons_inner_iterations_become_one(method: str) -> None:
    f = quadratic(30, 1e4)
    start = torch.full((30,), 5.0, dtype=torch.float64)
    m = torch.linalg.inv(f.A)
    plain = minimize(f, start, method)
    helped = minimize(f, start, method, preconditioner=(m + m.mT) / 2)
    assert helped.success
    assert relative(helped.x, f.c) < 1e-8
    assert helped.nhvp <= 2 * helped.nit + 2 < plain.nhvp / 3


@pytest.mark.parametrize("method", ["cg", *BY_PRODUCTS])
def test_the_minimum_is_the_same(method: str) -> None:
    start = torch.tensor([-1.2, 1.0, 0.5, 3.0], dtype=torch.float64)
    diagonal = 1 / torch.tensor([800.0, 200.0, 800.0, 200.0], dtype=torch.float64)
    result = minimize(rosenbrock, start, method, preconditioner=diagonal)
    assert result.success
    assert relative(result.x, torch.ones(4).double()) < 1e-5


@pytest.mark.parametrize("method", ["cg", *BY_PRODUCTS])
def test_several_starts_go_as_each_alone(method: str) -> None:
    f = quadratic(6, 50.0)
    m = torch.diag(1 / torch.diagonal(f.A))
    starts = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = minimize_many(f, starts, method, preconditioner=lambda r: m @ r)
    for start, result in zip(starts, together, strict=True):
        alone = minimize(f, start, method, preconditioner=m)
        assert result.success
        assert alone.success
        assert relative(result.x, alone.x) < 1e-6


def test_a_tensor_of_several_axes_and_of_none() -> None:
    target = torch.arange(6.0, dtype=torch.float64).view(2, 3)
    weight = target + 1

    def fun(x: Tensor) -> Tensor:
        return (weight * (x - target) ** 2).sum()

    diagonal = 1 / weight
    for given in (diagonal, lambda r: diagonal * r, torch.diag(diagonal.reshape(-1))):
        result = minimize(fun, torch.zeros(2, 3).double(), "cg", preconditioner=given)
        assert result.success
        assert result.history[1].gradient <= 1e-10 * result.history[0].gradient
    assert minimize(lambda x: (x - 3) ** 2, 0.0, "cg", preconditioner=torch.tensor(0.5)).success


def test_least_squares_and_bounds_take_one() -> None:
    a = torch.diag(torch.tensor([1.0, 100.0, 1e4], dtype=torch.float64))

    def residuals(x: Tensor) -> Tensor:
        return a @ (x - 1)

    m = 1 / torch.diagonal(a).square()
    result = least_squares(residuals, torch.zeros(3).double(), "trust-ncg", preconditioner=m)
    assert result.success
    assert relative(result.x, torch.ones(3).double()) < 1e-8
    bounded = minimize(
        lambda x: residuals(x).square().sum(),
        torch.zeros(3).double(),
        "cg",
        preconditioner=m,
        bounds=(None, torch.tensor([2.0, 0.5, 2.0])),
    )
    assert bounded.success
    assert relative(bounded.x, torch.tensor([1.0, 0.5, 1.0]).double()) < 1e-8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            torch.ones(3),
            "has shape (3,); expected a diagonal of x0's shape, (2,), or a matrix (2, 2)",
        ),
        (torch.tensor([1.0, float("nan")]), "holds values that are not finite"),
        ([1.0, -2.0], "not positive definite: entry 1 of its diagonal is -2"),
        (torch.tensor([[1.0, 1.0], [0.0, 1.0]]), "not symmetric"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "rᵀMr ≤ 0 for a gradient r"),
        (lambda r: -r, "rᵀMr ≤ 0"),
        (lambda r: 0 * r, "rᵀMr ≤ 0"),
        (lambda r: r / 0, "M·r is not finite"),
        (lambda r: r[:1], "preconditioner returned shape (1,); expected M·r as a real tensor"),
        (lambda r: 1.0, "preconditioner returned float"),
        (torch.eye(2).to_sparse(), "sparse tensor: give the function"),
        ("diagonal", "function of r that returns M·r, or a tensor; got str"),
        ([[1.0, 2.0], [3.0]], "a tensor or numbers; got list"),
    ],
)
@pytest.mark.parametrize("method", ["cg", *BY_PRODUCTS])
def test_what_is_no_preconditioner(method: str, given: Any, message: str) -> None:
    def fun(x: Tensor) -> Tensor:
        return (x[0] - 1) ** 2 + 3 * (x[1] + 1) ** 2

    with pytest.raises((ValueError, TypeError)) as raised:
        minimize(fun, [0.0, 0.0], method, preconditioner=given)  # where the gradient is (−2, 6)
    assert message in str(raised.value)


def test_other_methods_take_none() -> None:
    with pytest.raises(TypeError, match="'bfgs' has no option 'preconditioner'"):
        minimize(rosenbrock, [0.0, 0.0], "bfgs", preconditioner=torch.ones(2))
