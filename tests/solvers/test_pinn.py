"""The physics-informed networks of the benchmarks: their derivatives are those of torch.func."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

NAMES = ("Poisson", "Burgers", "Helmholtz")


@pytest.fixture(scope="module")
def pinn() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "_pinn.py"
    spec = importlib.util.spec_from_file_location("_pinn", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["_pinn"] = module  # where dataclasses look for their annotations
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["_pinn"]
    return module


def network(problem: Any, w: Tensor) -> Callable[[Tensor], Tensor]:
    """Return u of one point, written out."""

    def u(point: Tensor) -> Tensor:
        z = 2 * (point - problem.low) / problem.size - 1
        layers = problem.layers(w)
        for weight, bias in layers[:-1]:
            z = torch.tanh(z @ weight + bias)
        return (z @ layers[-1][0] + layers[-1][1])[0]

    return u


def derivatives(u: Callable[[Tensor], Tensor], points: Tensor, laplace: bool) -> Tensor:
    """Return u, uₓ, u_y and u_xx + laplace·u_yy at the points, by torch.func."""
    first = torch.func.vmap(torch.func.jacrev(u))(points)
    second = torch.func.vmap(torch.func.jacrev(torch.func.jacrev(u)))(points)
    curved = second[:, 0, 0] + (second[:, 1, 1] if laplace else 0)
    return torch.stack([torch.func.vmap(u)(points), first[:, 0], first[:, 1], curved])


def of(pinn: ModuleType, name: str) -> tuple[Any, Tensor]:
    problem = pinn.Problem(pinn.EQUATIONS[name], seed=1)
    noise = torch.randn(len(problem.start()), generator=torch.Generator().manual_seed(0))
    return problem, problem.start() + 0.1 * noise  # so that no bias is zero


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_written_out_are_those_of_torch_func(pinn: ModuleType, name: str) -> None:
    problem, w = of(pinn, name)
    expected = derivatives(network(problem, w), problem.inside, problem.equation.laplace)
    for found in (problem.derivatives(problem.layers(w)), problem.nested(w)):
        for here, there in zip(found.detach(), expected.detach(), strict=True):
            assert float((here - there).abs().max()) <= 1e-12 * float(there.abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_and_its_gradient_are_those_of_torch_func(pinn: ModuleType, name: str) -> None:
    problem, w = of(pinn, name)
    equation = problem.equation

    def loss(w: Tensor) -> Tensor:
        u = network(problem, w)
        parts = derivatives(u, problem.inside, equation.laplace)
        r = equation.residual(*parts.unbind(), *problem.inside.T)
        miss = torch.func.vmap(u)(problem.edge) - problem.target
        return r.square().mean() + equation.weight * miss.square().mean()

    w = w.requires_grad_()
    value = problem.loss(w)
    (slope,) = torch.autograd.grad(value, w)
    expected, there = torch.func.grad_and_value(loss)(w.detach())
    assert float(value.detach()) == pytest.approx(float(there), rel=1e-12)
    assert float((slope - expected).abs().max()) <= 1e-11 * float(expected.abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_solves_the_equation(pinn: ModuleType, name: str) -> None:
    problem = pinn.Problem(pinn.EQUATIONS[name], seed=1)
    equation = problem.equation
    inside = problem.inside
    if name == "Burgers":  # away from the shock, where 100 nodes are exact
        inside = inside[(inside[:, 0].abs() > 0.1) & (inside[:, 1] > 0.05)]

    def u(point: Tensor) -> Tensor:
        value: Tensor = equation.solution(point[:1], point[1:])[0]
        return value

    parts = derivatives(u, inside, equation.laplace)
    r = equation.residual(*parts.unbind(), *inside.T)
    assert float(r.abs().max()) <= 1e-8 * float(parts.abs().max())
    edge = torch.func.vmap(u)(problem.edge)
    assert torch.allclose(edge, problem.target, atol=1e-12)
