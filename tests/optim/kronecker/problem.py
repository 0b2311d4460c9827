"""A small classification, and steps of K-FAC on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X.sum(1) > 0).long() + (X[:, 0] > 1).long()


def net() -> Any:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def batch(k: int, size: int = 10) -> tuple[Tensor, Tensor]:
    rows = [(k * size + i) % len(X) for i in range(size)]
    return X[rows], Y[rows]


def train(
    model: nn.Module,
    optimizer: Any,
    numbers: range,
    loss: Any = "cross_entropy",
    batches: Callable[[int], tuple[Tensor, Tensor]] = batch,
) -> list[Tensor]:
    """Take these steps; return the parameters after each."""
    path = []
    for k in numbers:
        x, y = batches(k)
        optimizer.zero_grad()
        outputs = model(x)
        optimizer.observe(outputs, y, loss)
        function = functional.cross_entropy if isinstance(loss, str) else loss
        sent_back(function(outputs, y))
        optimizer.step()
        path.append(point(model))
    return path


def sent_back(loss: Any) -> None:
    loss.backward()


def point(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).clone()


def conv_net() -> Any:
    torch.manual_seed(2)
    parts = [nn.Conv1d(1, 2, 2), nn.BatchNorm1d(2), nn.ReLU(inplace=True), nn.Flatten()]
    return nn.Sequential(nn.Unflatten(1, (1, 3)), *parts, nn.Linear(4, 3)).double()


class Mixed(nn.Module):
    """A layer that K-FAC knows beside parameters that it does not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.act, self.scale = (
            nn.Linear(3, 3).double(),
            nn.PReLU(3).double(),
            nn.Parameter(torch.ones(3, dtype=torch.float64)),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.act(self.layer(x)) * self.scale
        return found
