"""A model's parameters as one vector: what is in it, what is not, and that the model is left alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.exact import differs, same
from thalweg.solvers import flat_objective, least_squares, minimize, minimize_many

X = torch.linspace(-1, 1, 16, dtype=torch.float64)[:, None]


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def fit(model: nn.Module) -> Tensor:
    value: Tensor = (model(X) - X.sin()).square().mean()
    return value


def state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def assert_unchanged(before: dict[str, Tensor], model: nn.Module) -> None:
    same(model.state_dict(), before, because="nothing wrote to it")


def test_value_and_gradient_are_those_of_the_model() -> None:
    model = small()
    flat = flat_objective(model, fit)
    x = flat.x0.clone().requires_grad_()
    flat.fun(x).backward()
    fit(model).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    theirs = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
    # the same operations on the same numbers, but in other places in memory
    assert torch.allclose(x.grad, theirs, rtol=1e-12, atol=1e-15)


def test_only_write_changes_the_model() -> None:
    model = small()
    before = state(model)
    flat = flat_objective(model, fit)
    result = minimize(flat.fun, flat.x0, max_iter=20)
    assert_unchanged(before, model)
    assert all(p.grad is None for p in model.parameters())
    flat.write(result.x)
    assert fit(model).item() == pytest.approx(result.fun, rel=1e-9)
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in model.parameters())


def test_x0_is_a_copy() -> None:
    model = small()
    before = state(model)
    flat_objective(model, fit).x0.zero_()
    assert_unchanged(before, model)


def test_frozen_parameters_stay() -> None:
    model = small()
    model[0].requires_grad_(False)
    before = state(model)
    flat = flat_objective(model, fit)
    assert flat.x0.shape == (5,)
    flat.write(minimize(flat.fun, flat.x0, max_iter=20).x)
    after = model.state_dict()
    same(after["0.weight"], before["0.weight"], because="nothing wrote to it")
    differs(before["2.weight"], after["2.weight"])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.Linear(3, 3, bias=False).double()
        self.down = nn.Linear(3, 3, bias=False).double()
        self.down.weight = self.up.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(self.up(x).tanh())
        return out


def test_shared_parameters_are_there_once_and_stay_shared() -> None:
    model = Tied()
    rows = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    flat = flat_objective(model, lambda model: model(rows).square().sum())
    assert flat.x0.shape == (9,)
    x = flat.x0.clone().requires_grad_()
    flat.fun(x).backward()
    model(rows).square().sum().backward()
    assert x.grad is not None
    assert model.up.weight.grad is not None
    assert torch.allclose(x.grad, model.up.weight.grad.reshape(-1), rtol=1e-12, atol=1e-15)
    flat.write(torch.zeros(9, dtype=torch.float64))
    assert model.down.weight is model.up.weight
    assert not model.down.weight.any()


def test_buffers_are_no_part_of_the_vector() -> None:
    model = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double().eval()
    before = state(model)
    flat = flat_objective(model, fit)
    assert flat.x0.numel() == sum(p.numel() for p in model.parameters())
    minimize(flat.fun, flat.x0, max_iter=3)
    assert_unchanged(before, model)


def test_derivatives_with_respect_to_inputs() -> None:
    model = small()

    def loss(model: nn.Module) -> Tensor:
        x = X.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return (slope - x.cos()).square().mean()

    flat = flat_objective(model, loss)
    assert minimize(flat.fun, flat.x0, "ssbroyden", max_iter=150).fun < 1e-5


def test_residuals_and_many_starts() -> None:
    model = small()
    flat = flat_objective(model, lambda model: model(X) - X.sin())
    assert least_squares(flat.fun, flat.x0, max_iter=50).fun < 1e-6
    flat = flat_objective(model, fit)
    starts = torch.stack([flat.x0, flat.x0 + 0.1])
    together = minimize_many(flat.fun, starts, max_iter=5)
    alone = minimize(flat.fun, flat.x0, max_iter=5)
    assert together[0].fun == pytest.approx(alone.fun, rel=1e-6)


def test_loss_that_is_a_module_keeps_its_parameters() -> None:
    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

        def forward(self, model: nn.Module) -> Tensor:
            return self.scale * fit(model)

    model = small()
    flat = flat_objective(model, Loss())
    assert flat.x0.numel() == sum(p.numel() for p in model.parameters())
    same(flat.fun(flat.x0), 2 * fit(model), because="multiplying by two is exact")


def test_what_cannot_be_one_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="no parameter that requires gradients"):
        flat_objective(nn.Tanh(), fit)
    mixed = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).double())
    with pytest.raises(ValueError, match="several kinds"):
        flat_objective(mixed, fit)
    flat = flat_objective(small(), fit)
    with pytest.raises(ValueError, match=r"pass a vector of shape \(13,\)"):
        flat.fun(torch.zeros(12, dtype=torch.float64))
