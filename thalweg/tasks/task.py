"""A task: what is to be learned. Data, cost and model, without the optimizer."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from thalweg.errors import TaskError, ThalwegError
from thalweg.numeric import as_whole
from thalweg.objective import Cost
from thalweg.objective.blame import blame
from thalweg.tasks.data import Data
from thalweg.tasks.initialize import Initialization, check_initialization, started, text_of
from thalweg.tasks.sources.source import as_source
from thalweg.tasks.target import Target

UNNAMED = "task"
"""The name of a task that was given none."""
EPOCHS = 30
BATCH_SIZE = 128
_OF_PARTS = {
    "data": ("data_hash", "seconds", "spec"),
    "model": ("seconds", "spec"),
    "cost": ("seconds", "spec"),
}
"""Fields that are dropped when a part is replaced, since they hold for the old one."""


@dataclass(frozen=True)
class Task:
    """Data, cost and model. With an optimizer it makes a recipe; several optimizers on one task
    make a race.

    `data` is a `Data`, or what `Data` takes as its training set. `model` is a function without
    arguments that builds a fresh module (a class will do); each run calls it again under its own
    seed. A module given as such is copied for each run, which then starts from these very weights.
    `target` is the validation figure at which the task counts as learned.

    `init` is how each fresh model starts, instead of as its layers draw themselves: a strategy of
    `thalweg.init` or its name, such as "he" or "orthogonal:gain=1.4|lsuv", or a function of the model.

    `epochs` and `batch_size` are its usual budget: what a race or `thalweg train` gives a run where
    nothing else is said. `batch_size` None is all rows, as in `fit`. Built-in tasks also state about
    how many `seconds` such a run takes on one core, and the `data_hash` of their data
    (`thalweg.tasks.data_hash`).

    Raises:
        TaskError: where a part is not of that kind, and for a target that cannot be reached: without a
            validation set, or beyond what the metric can be.

    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 20, dtype="float32").reshape(-1, 1)
    >>> line = Task((x, 2 * x), "mse", lambda: nn.Linear(1, 1), name="line", batch_size=None)
    >>> line.epochs, line.batch_size
    (30, None)
    >>> Task((x, x), Cost("mse"), lambda: nn.Linear(1, 1), target=Target("loss", -1))
    Traceback (most recent call last):
    thalweg.errors.TaskError: The loss mse_loss cannot fall below 0; the target is loss -1.
    """

    data: Data
    cost: Cost
    model: Callable[[], nn.Module] | nn.Module
    name: str = UNNAMED
    target: Target | None = None
    description: str = ""
    epochs: int = EPOCHS
    batch_size: int | None = BATCH_SIZE
    seconds: float | None = None
    data_hash: str | None = None
    spec: str | None = field(default=None, compare=False)
    """The text that `load_task` makes it from, None for one that was made in Python."""
    init: Initialization | None = None

    def __post_init__(self) -> None:
        data: object = self.data
        if not isinstance(data, Data):
            object.__setattr__(self, "data", Data(as_source(data)))
        cost: Any = self.cost
        if not isinstance(cost, Cost):
            object.__setattr__(self, "cost", Cost(cost))
        if not callable(self.model):
            raise TaskError(
                f"A task's model must be a function that builds an nn.Module, such as "
                f"`lambda: nn.Linear(4, 1)`; got {type(self.model).__name__}."
            )
        if self.init is not None:
            check_initialization(self.init)  # says at once what is not known
        epochs = _count("epochs", self.epochs, "number of epochs")
        object.__setattr__(self, "epochs", epochs)
        if self.batch_size is not None:
            size = _count("batch_size", self.batch_size, "number of rows, or None for all rows")
            object.__setattr__(self, "batch_size", size)
        if self.target is not None:
            self._check_target(self.target)

    def _check_target(self, target: Any) -> None:
        if not isinstance(target, Target):
            raise TaskError(
                "A task's target must be a Target, a figure with its name, such as "
                f"Target('accuracy', 0.95); got {target!r}."
            )
        target.check(self.cost)
        if self.data.validation is None:
            raise TaskError(
                f"The target {target} is a figure of the validation set, and the data has none. "
                "Give one to Data, or a fraction: validation=0.2."
            )

    def __repr__(self) -> str:
        target = "" if self.target is None else f", target={self.target}"
        return f"Task({self.name!r}, {self.data!r}, {self.cost!r}{target})"

    def replace(self, **parts: Any) -> Task:
        """Return this task with some parts exchanged; the others stay the very same, except for what
        does not hold any more: `seconds` of another model, `data_hash` of other data, the `spec` of
        either.
        """
        for part, fields in _OF_PARTS.items():
            if part in parts:
                parts = dict.fromkeys(fields) | parts
        return dataclasses.replace(self, **parts)

    def build(self) -> nn.Module:
        """Return a fresh model, started by `init`."""
        model = self._built()
        if self.init is not None:
            how = check_initialization(self.init)
            started(model, how, self.data.train, self.cost.surrogate, self.batch_size)
        return model

    def bare(self) -> nn.Module:
        """Return a fresh model whose numbers do not matter: to be counted, or to load weights into.

        A strategy sets numbers alone and is left out; a function, which may change more, is called.
        """
        if self.init is None or text_of(self.init) is not None:
            return self._built()
        return self.build()

    def _built(self) -> nn.Module:
        if isinstance(self.model, nn.Module):
            return copy.deepcopy(self.model)
        try:
            model = self.model()
        except (ThalwegError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # the user's own function: anything can be wrong in it
            raise TaskError(
                f"The model of task {self.name!r} cannot be built. {blame(error)} A task's model "
                "is a function without arguments that returns an nn.Module, such as `lambda: "
                "nn.Linear(4, 1)`."
            ) from error
        if not isinstance(model, nn.Module):
            raise TaskError(
                f"The model function of task {self.name!r} returned {type(model).__name__}, not an "
                "nn.Module."
            )
        return model


def _count(name: str, value: object, what: str) -> int:
    count = as_whole(value)
    if count is None or count < 1:
        raise TaskError(f"A task's {name} must be a {what}, at least 1; got {value!r}.")
    return count
