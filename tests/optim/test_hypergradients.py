"""`differentiable=True` and hyperparameters that require gradients: PyTorch's hypergradients, or an error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.exact import close
from thalweg import optim
from thalweg.errors import EngineError

from .problem import default_dtype

BASE = {
    "lr": 0.1,
    "weight_decay": 0.1,
    "momentum": 0.8,
    "dampening": 0.1,
    "alpha": 0.9,
    "rho": 0.9,
    "eps": 1e-3,
    "lr_decay": 0.1,
    "lambd": 0.01,
    "momentum_decay": 0.01,
    "beta1": 0.9,
    "beta2": 0.99,
}
FIRST = torch.tensor([0.5, -1.3, 2.0], dtype=torch.float64)
Name = tuple[str, str]

AS_PYTORCH: list[Name] = [
    *((name, key) for name in ("Adam", "AdamW") for key in ("lr", "eps", "weight_decay")),
    *(("RMSprop", key) for key in ("eps", "momentum")),
    *((name, "eps") for name in ("Adagrad", "Adadelta", "NAdam")),
    ("SGD", "momentum"),
    ("RAdam", "lr"),
]
"""What PyTorch 2.13 has a gradient for."""

BEYOND: list[Name] = [
    *(("SGD", key) for key in ("lr", "dampening", "weight_decay")),
    *(("Adagrad", key) for key in ("lr", "lr_decay", "weight_decay")),
    *(("RMSprop", key) for key in ("lr", "alpha", "weight_decay")),
    *(("Adadelta", key) for key in ("lr", "rho", "weight_decay")),
    *(("Adamax", key) for key in ("lr", "eps", "beta1", "weight_decay")),
    *(("NAdam", key) for key in ("lr", "beta2", "weight_decay")),
    *(("RAdam", key) for key in ("beta1", "weight_decay")),
    ("Rprop", "lr"),
]
"""What PyTorch raises for, or, for SGD's weight decay, cuts off at the first momentum."""

KEPT: list[Name] = [
    *(("NAdam", key) for key in ("beta1", "momentum_decay")),
    *(("ASGD", key) for key in ("lr", "lambd", "alpha")),
]
"""What numbers that are kept on the host depend on."""


def steps(module: Any, name: str, key: str, value: Any) -> Tensor:
    """Return where a few steps lead with one hyperparameter."""
    kwargs: dict[str, Any] = {"weight_decay": 0.01} if name != "Rprop" else {}
    if name == "SGD":
        kwargs["momentum"] = 0.9
    if key.startswith("beta"):
        kwargs["betas"] = (value, 0.99) if key == "beta1" else (0.9, value)
    else:
        kwargs[key] = value
    p = FIRST.clone().requires_grad_().clone()
    optimizer = getattr(module, name)([p], differentiable=True, **kwargs)
    for k in range(3):
        p.grad = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) * (k + 1)
        optimizer.step()
    return p


def loss(p: Tensor) -> Tensor:
    return (p * torch.tensor([1.0, 0.5, -2.0], dtype=torch.float64)).sum()


def hypergradient(module: Any, name: str, key: str) -> Tensor:
    value = torch.tensor(BASE[key], dtype=torch.float64, requires_grad=True)
    loss(steps(module, name, key, value)).backward()
    assert value.grad is not None
    assert value.grad != 0
    return value.grad


@pytest.mark.parametrize(("name", "key"), AS_PYTORCH, ids=lambda x: x)
def test_hypergradients_are_pytorchs(name: str, key: str) -> None:
    with default_dtype(torch.float64):  # of the step numbers that PyTorch computes with
        expected = hypergradient(torch.optim, name, key)
    actual = hypergradient(optim, name, key)
    close(actual, expected, ulps=2**12, because="the same function, written as other operations")


@pytest.mark.parametrize(("name", "key"), [*AS_PYTORCH, *BEYOND], ids=lambda x: x)
def test_hypergradients_are_derivatives(name: str, key: str) -> None:
    h = 1e-5 * BASE[key]
    ends = [loss(steps(optim, name, key, BASE[key] + s * h)).item() for s in (-1.0, 1.0)]
    expected = (ends[1] - ends[0]) / (2 * h)
    assert hypergradient(optim, name, key).item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("name", "key"), KEPT, ids=lambda x: x)
def test_a_gradient_that_would_be_lost_is_an_error(name: str, key: str) -> None:
    value = torch.tensor(BASE.get(key, 0.75), dtype=torch.float64, requires_grad=True)
    with pytest.raises(EngineError, match=r"keeps .* as a plain number.*chain\.step"):
        steps(optim, name, key, value)


def test_without_differentiable_a_tensor_is_its_value() -> None:
    lr = torch.tensor(0.5, requires_grad=True)
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = optim.SGD([p], lr=lr)
    p.grad = torch.ones(2)
    optimizer.step()
    assert p.tolist() == [0.5, 0.5]
