"""How fast a start would learn if the model stayed linear, and what a comparison recommends by it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev
from torch.nn import functional

from tests.exact import same
from thalweg import init
from thalweg.init.linear import LinearDescent, linear_descent
from thalweg.objective.losses import as_loss

X = torch.randn(24, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X[:, 0] + X[:, 1] > 0).long() + (X[:, 2] > 1).long()
LOSS = as_loss("cross_entropy")


def deep(depth: int, activation: type[nn.Module], width: int = 16) -> nn.Sequential:
    layers: list[nn.Module] = []
    for k in range(depth):
        layers += [nn.Linear(width if k else 5, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 3)).double()


def begun(model: nn.Module) -> nn.Module:
    functional.cross_entropy(model(X), Y).backward()
    return model


def descended(model: nn.Module, steps: int) -> list[float]:
    """Descend the quadratic gᵀδ + ½δᵀGδ at the rate 1/λ₁, step by step, G as a whole matrix."""
    values = {name: p.detach() for name, p in model.named_parameters()}
    parts = jacrev(lambda given: functional_call(model, given, (X,)))(values)
    jacobian = torch.cat([part.flatten(2) for part in parts.values()], 2)
    at_zero = (torch.eye(3) - 1 / 3).double() / 3  # diag(p) − ppᵀ where the three p are equal
    matrix = torch.einsum("nip,ij,njq->pq", jacobian, at_zero, jacobian) / len(X)
    residual = functional.softmax(model(X).detach(), 1) - functional.one_hot(Y, 3)
    gradient = torch.einsum("nip,ni->p", jacobian, residual) / len(X)
    rate = 1 / torch.linalg.eigvalsh(matrix)[-1]
    delta, fallen = torch.zeros_like(gradient), []
    for _ in range(steps):
        delta = delta - rate * (gradient + matrix @ delta)
        fallen.append(-float(gradient @ delta + delta @ matrix @ delta / 2))
    return fallen


def test_the_loss_falls_as_by_gradient_descent_on_the_linear_model() -> None:
    torch.manual_seed(0)
    model = deep(2, nn.Tanh, width=4)
    reference = descended(model, 300)
    whole = linear_descent(begun(model), LOSS, X, Y, products=200)
    few = linear_descent(model, LOSS, X, Y)
    assert whole is not None
    assert few is not None
    for step in (1, 10, 300):
        # eigenvalues below 1e-7 of the largest count as that
        assert whole.decrease(step) == pytest.approx(reference[step - 1], rel=1e-4)
        assert few.decrease(step) == pytest.approx(reference[step - 1], rel=1e-2)
    assert whole.steps(reference[99]) == pytest.approx(100, rel=1e-2)


def test_a_loss_that_cannot_fall_takes_for_ever() -> None:
    never = linear_descent(nn.Linear(5, 3).double(), LOSS, X, Y)
    assert never == LinearDescent((1.0,), (0.0,)), "no gradient"
    assert never.steps(0.1) == math.inf
    assert never.steps(-0.1) == 0, "it is there already"


def test_the_recommendation_sees_that_a_few_directions_learn_alone() -> None:
    """Of deep tanh layers random-walk weights keep the sizes, and yet pass on few directions."""
    names = ["random_walk|bias", "orthogonal|bias", "truncated_normal:std=0.02|bias"]
    found = init.compare(lambda: deep(24, nn.Tanh), names, X, Y, LOSS, seeds=3)
    assert found.decided_by == "steps"
    assert found.recommended == ("orthogonal|bias",)
    walk, orthogonal, small = found.started
    assert all(one > 2 * other for one, other in zip(walk.steps, orthogonal.steps, strict=True))
    assert small.steps == (math.inf,) * 3
    assert "never" in str(found)
    advice = found.to_dict()["advice"]
    assert advice.startswith("Recommended: orthogonal|bias, the usual start. If the model stayed")


class Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)  # type: ignore[no-any-return]


def residual() -> nn.Sequential:
    blocks = (
        Residual(nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)) for _ in range(20)
    )
    return nn.Sequential(nn.Linear(5, 16), *blocks, nn.Linear(16, 3)).double()


def test_a_usual_start_whose_outputs_explode_is_not_recommended() -> None:
    """There the loss is large, and its Hessian next to nothing."""
    names = ["orthogonal|bias", "he|bias|zero_branches"]
    found = init.compare(residual, names, X, Y, LOSS, seeds=3)
    assert found.started[0].loss.mean > 10
    assert found.recommended == ("he|bias|zero_branches",)
    assert "The usual start, orthogonal|bias, is far behind." in str(found)


def test_where_no_best_constant_is_known_the_lowest_loss_of_the_starts_is_halved() -> None:
    names = ["orthogonal|bias", "he|bias"]
    y = functional.one_hot(Y, 3).double()
    found = init.compare(lambda: deep(2, nn.Tanh), names, X, y, as_loss("huber"), seeds=2)
    assert found.constant is None
    assert "would fall to half of the lowest of these starts in" in str(found)


class Once(torch.autograd.Function):
    """tanh without a second derivative."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x.tanh())
        return x.tanh()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (y,) = context.saved_tensors
        return gradient * (1 - y * y)


class OnceTanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Once.apply(x)  # type: ignore[no-any-return]


def test_without_second_derivatives_the_drift_decides() -> None:
    names = ["orthogonal|bias", "truncated_normal:std=0.02|bias"]
    found = init.compare(lambda: deep(4, OnceTanh), names, X, Y, LOSS, seeds=2)
    assert found.decided_by == "drift"
    assert [each.steps for each in found.started] == [(), ()]
    assert found.recommended == ("orthogonal|bias",)


def test_looking_leaves_the_model_as_it_was() -> None:
    model = begun(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double())
    before = [p.detach().clone() for p in model.state_dict().values()]
    linear_descent(model, LOSS, X, Y)
    for one, other in zip(before, model.state_dict().values(), strict=True):
        same(one, other, because="nothing of the model is changed")
