"""A task: what is to be learned. Data, cost and model, without the optimizer."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from thalweg.errors import TaskError
from thalweg.objective import Cost
from thalweg.tasks.data import Data
from thalweg.tasks.sources import as_source
from thalweg.tasks.target import Target

UNNAMED = "task"
"""The name of a task that was given none."""


@dataclass(frozen=True)
class Task:
    """Data, cost and model. With an optimizer it makes a recipe; several optimizers on one task
    make a race.

    `data` is a `Data`, or what `Data` takes as its training set. `model` is a function without
    arguments that builds a fresh module (a class will do); each run calls it anew under its own
    seed. A module given as such is copied for each run, which then starts from these very weights.
    `target` is the validation figure at which the task counts as learned.

    Raises TaskError where a part is not of that kind.
    """

    data: Data
    cost: Cost
    model: Callable[[], nn.Module] | nn.Module
    name: str = UNNAMED
    target: Target | None = None
    description: str = ""

    def __post_init__(self) -> None:
        data: object = self.data
        if not isinstance(data, Data):
            object.__setattr__(self, "data", Data(as_source(data)))
        cost: Any = self.cost
        if not isinstance(cost, Cost):
            object.__setattr__(self, "cost", Cost(cost))
        if not callable(self.model):
            raise TaskError(
                f"A task's model is a function that builds an nn.Module, such as "
                f"`lambda: nn.Linear(4, 1)`; got {type(self.model).__name__}."
            )
        if self.target is not None:
            self.target.check(self.cost)

    def __repr__(self) -> str:
        target = "" if self.target is None else f", target={self.target}"
        return f"Task({self.name!r}, {self.data!r}, {self.cost!r}{target})"

    def replace(self, **parts: Any) -> Task:
        """Return this task with some parts exchanged; the others stay the very same."""
        return dataclasses.replace(self, **parts)

    def build(self) -> nn.Module:
        """Return a fresh model."""
        if isinstance(self.model, nn.Module):
            return copy.deepcopy(self.model)
        model = self.model()
        if not isinstance(model, nn.Module):
            raise TaskError(
                f"The task's model function returned {type(model).__name__}, not an nn.Module."
            )
        return model
