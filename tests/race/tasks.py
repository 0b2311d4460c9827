"""Small tasks for races: a line to be fitted, which every optimizer learns in a moment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thalweg.objective import Cost
from thalweg.tasks import Data, Target, Task


def line(**parts: Any) -> Task:
    """y = 2x + 1 on 64 points; the target is a validation mse of 0.05."""
    x = torch.linspace(-1, 1, 64).reshape(-1, 1)
    data = Data.arrays(x, 2 * x + 1, validation=0.25)
    task = Task(
        data=data,
        cost=Cost("mse", metrics="mse"),
        model=lambda: nn.Linear(1, 1),
        name="line",
        target=Target("mse", 0.05),
    )
    return task.replace(**parts)


class Spy(torch.optim.SGD):
    """SGD that notes the weights it starts from and the gradients it gets."""

    notes: list[tuple[list[Tensor], list[Tensor]]] = []  # noqa: RUF012

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        weights = [p.detach().clone() for group in self.param_groups for p in group["params"]]
        self.gradients: list[Tensor] = []
        Spy.notes.append((weights, self.gradients))

    def step(self, closure: Any = None) -> Any:
        """Take a step, and note the gradient of the first parameter."""
        self.gradients.append(self.param_groups[0]["params"][0].grad.clone())
        return super().step(closure)
