"""Small objectives as closures, and runs of optimizers on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[int], Tensor]
"""The loss of a step, by its number."""

ROSENBROCK = (-1.2, 1.0, 0.5, 2.0)


def residuals(x: Tensor) -> Tensor:
    """Rosenbrock's valley is the sum of their squares."""
    return torch.cat([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def rosenbrock() -> tuple[list[nn.Parameter], Loss]:
    x = nn.Parameter(torch.tensor(ROSENBROCK, dtype=torch.float64))
    return [x], lambda k: residuals(x).square().sum()


def quadratic() -> tuple[list[nn.Parameter], Loss]:
    scales = torch.logspace(0, 3, 10, dtype=torch.float64)
    x = nn.Parameter(torch.ones(10, dtype=torch.float64))
    return [x], lambda k: 0.5 * (scales * x.square()).sum()


def net(batches: int = 4) -> tuple[list[nn.Parameter], Loss]:
    """A small net; each step has another batch."""
    generator = torch.Generator().manual_seed(3)
    shapes = ((5, 8), (8,), (8, 1), (1,))
    params = [
        nn.Parameter(0.5 * torch.randn(s, generator=generator, dtype=torch.float64)) for s in shapes
    ]
    x = torch.randn(16 * batches, 5, generator=generator, dtype=torch.float64)
    y = x.sum(1, keepdim=True).sin()

    def loss(k: int) -> Tensor:
        rows = slice(16 * (k % batches), 16 * (k % batches) + 16)
        hidden = torch.tanh(x[rows] @ params[0] + params[1])
        return (hidden @ params[2] + params[3] - y[rows]).square().mean()

    return params, loss


def closure_of(optimizer: Any, loss: Callable[[], Tensor], *, backward: bool = True) -> Any:
    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        if backward:
            value.backward()  # type: ignore[no-untyped-call]
        return value

    return closure


def point(params: list[nn.Parameter]) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in params]).clone()


def steps(optimizer: Any, params: list[nn.Parameter], loss: Loss, numbers: range) -> Tensor:
    """Take these steps, and return the points after each."""
    backward = type(optimizer).__name__ != "NewtonCG"
    path = []
    for k in numbers:
        optimizer.step(closure_of(optimizer, lambda k=k: loss(k), backward=backward))  # type: ignore[misc]
        path.append(point(params))
    return torch.stack(path)
