"""The recipe: data, cost, model and optimizer, declared; each can be exchanged alone."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from thalweg.errors import TaskError, suggest
from thalweg.numeric import as_whole, is_real
from thalweg.tasks.batches import Order, Shuffle
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.train.optimizers import OptimizerFactory, Rate, is_schedule, name_of
from thalweg.train.run import Run
from thalweg.train.stopping import EarlyStopping

SchedulerFactory = Callable[[torch.optim.Optimizer], Any]
_TASK_PARTS = ("data", "cost", "model", "target")


@dataclass(frozen=True)
class Recipe:
    """A task, an optimizer and the settings of training: all that a run is a function of.

    The settings are those of `fit`, which says what each means.

    >>> import numpy as np, torch
    >>> from thalweg.objective import Cost
    >>> x = np.linspace(-1, 1, 20, dtype="float32").reshape(-1, 1)
    >>> task = Task(data=(x, 2 * x), cost=Cost("mse"), model=lambda: torch.nn.Linear(1, 1))
    >>> recipe = Recipe(task, torch.optim.SGD, lr=0.5, epochs=20, batch_size=None)
    >>> run = recipe.replace(cost=Cost("l1"), epochs=5).fit(progress=False)
    >>> run.steps, run.recipe.optimizer is recipe.optimizer
    (5, True)
    """

    task: Task
    optimizer: OptimizerFactory | Any
    lr: Rate | None = None
    epochs: int = 10
    batch_size: int | None = 128
    seed: int = 0
    shuffle: Shuffle = "epoch"
    scheduler: SchedulerFactory | None = None
    scheduler_step: Literal["epoch", "step"] = "epoch"
    early_stopping: EarlyStopping | None = None
    gradient_tolerance: float | None = None
    gradient_budget: float | None = None
    stop_at: Target | None = None
    evaluate_every: int | None = None
    device: str | torch.device | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.task, Task):
            raise TaskError(
                "A recipe's task is a thalweg Task (load_task('digits') gives one); got "
                f"{self.task!r}."
            )
        for name in ("epochs", "batch_size", "evaluate_every"):
            if name == "epochs" or getattr(self, name) is not None:
                object.__setattr__(self, name, _count(name, getattr(self, name)))
        seed = as_whole(self.seed)
        if seed is None or not 0 <= seed < 2**63:
            raise TaskError(f"seed is a whole number from 0 to 2⁶³ − 1; got {self.seed!r}.")
        object.__setattr__(self, "seed", seed)
        self._check_rate()
        if self.gradient_budget is not None and not self.gradient_budget > 0:
            raise TaskError(f"gradient_budget is a number > 0; got {self.gradient_budget!r}.")
        if self.scheduler is not None and not callable(self.scheduler):
            raise TaskError(
                "scheduler is a function (optimizer) -> torch learning rate scheduler, such as "
                f"functools.partial(StepLR, step_size=3); got {self.scheduler!r}."
            )
        if self.scheduler_step not in ("epoch", "step"):
            raise TaskError(f"scheduler_step is 'epoch' or 'step'; got {self.scheduler_step!r}.")
        Order(self.seed, self.shuffle)
        self._check_stops()

    def _check_rate(self) -> None:
        lr: Any = self.lr
        if is_schedule(lr):
            if self.scheduler is not None:
                raise TaskError("lr is a schedule already, so there is no place for a scheduler.")
        elif lr is not None and not (_is_number(lr) and lr >= 0):
            raise TaskError(f"lr is a number ≥ 0, or a function of the step; got {lr!r}.")

    def _check_stops(self) -> None:
        stop: Any = self.early_stopping
        if stop is not None and not isinstance(stop, EarlyStopping):
            raise TaskError(
                "early_stopping is an EarlyStopping, such as EarlyStopping(patience=3); "
                f"got {stop!r}."
            )
        if stop is not None:
            self.task.cost.direction(stop.figure)
        if self.stop_at is not None:
            self.stop_at.check(self.task.cost)
        if self.task.data.validation is None:
            if stop is not None and not stop.on_train:
                raise TaskError(
                    f"Early stopping on {stop.metric!r} needs a validation set, and the data has "
                    "none. Give one (validation=0.1), or stop on the training set: "
                    "EarlyStopping('train loss')."
                )
            if self.stop_at is not None:
                raise TaskError(
                    "stop_at is a validation figure, and the data has no validation set."
                )
        tolerance = self.gradient_tolerance
        if tolerance is None:
            return
        if not tolerance >= 0:
            raise TaskError(f"gradient_tolerance is a number ≥ 0; got {tolerance!r}.")
        rows = self.task.data.train.rows
        if self.batch_size is not None and (rows is None or self.batch_size < rows):
            raise TaskError(
                "gradient_tolerance needs the gradient of the whole training set: set "
                "batch_size=None. A batch's gradient does not vanish at the minimum."
            )

    def __repr__(self) -> str:
        settings = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)[2:]
            if getattr(self, field.name) != field.default
        ]
        return f"Recipe({', '.join([repr(self.task), name_of(self.optimizer), *settings])})"

    def replace(self, **parts: Any) -> Recipe:
        """Return this recipe with some parts exchanged; the others stay the very same.

        `data`, `cost`, `model` and `target` are exchanged within the task. Raises TaskError for an
        unknown part.
        """
        known = [*(f.name for f in dataclasses.fields(self)), *_TASK_PARTS]
        for name in parts:
            if name not in known:
                raise TaskError(f"A recipe has no part {name!r}.{suggest(name, known)}")
        of_task = {name: parts.pop(name) for name in _TASK_PARTS if name in parts}
        if of_task:
            parts["task"] = parts.get("task", self.task).replace(**of_task)
        return dataclasses.replace(self, **parts)

    def fit(
        self,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
        progress: bool | None = None,
    ) -> Run:
        """Train; return the run. The arguments are those of `fit` and do not change the result."""
        from thalweg.train.running.loop import train  # the loop knows recipes

        return train(
            self,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            progress=progress,
        )


def _is_number(value: object) -> bool:
    """Return whether `value` is a real number: Python's, NumPy's, or a tensor of one."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_complex()
    return is_real(value)


def _count(name: str, value: object) -> int:
    count = as_whole(value)
    if count is None or count < 1:
        raise TaskError(f"{name} is a whole number ≥ 1; got {value!r}.")
    return count
