"""A run and the recipe it followed, as data: `thalweg.train.recipe` adds the training."""

from __future__ import annotations

import abc
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
from torch import nn

from thalweg.errors import TaskError, suggest
from thalweg.numeric import as_seed, is_real, is_schedule
from thalweg.tasks.initialize import Initialization
from thalweg.tasks.sources.batches import Order, Shuffle
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.train.folder.writing import save_run
from thalweg.train.gradients import epoch_steps
from thalweg.train.history import Epoch, Evaluation, History, Reached, summary
from thalweg.train.optimizers.choice import ChosenOptimizer, choose
from thalweg.train.optimizers.known import OptimizerFactory, Rate
from thalweg.train.staged import Staged, check_strategy
from thalweg.train.stopping import EarlyStopping
from thalweg.train.trained.trained import Trained
from thalweg.whole import whole_number

SchedulerFactory = Callable[[torch.optim.Optimizer], Any]
_TASK_PARTS = ("data", "cost", "model", "target")


@dataclass(frozen=True)
class BaseRecipe(abc.ABC):
    """The fields of a recipe, checked. `thalweg.Recipe` is the one class of it, which also trains.

    What trains, and what reports on training, needs no more than this.
    """

    task: Task
    optimizer: OptimizerFactory | str | Any
    lr: Rate | None = None
    epochs: int = None  # type: ignore[assignment]  # the task's, from __post_init__ on
    batch_size: int | None = "task"  # type: ignore[assignment]  # likewise
    seed: int = 0
    init: Initialization | None = None
    shuffle: Shuffle = "epoch"
    scheduler: SchedulerFactory | None = None
    scheduler_step: Literal["epoch", "step"] = "epoch"
    early_stopping: EarlyStopping | None = None
    gradient_tolerance: float | None = None
    gradient_budget: float | None = None
    stop_at: Target | None = None
    evaluate_every: int | None = None
    device: str | torch.device | None = None
    accumulate: int = 1
    clip_norm: float | None = None
    autocast: str | torch.dtype | None = None
    strategy: Staged | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.task, Task):
            raise TaskError(
                "A recipe's task must be a thalweg Task (load_task('digits') gives one); got "
                f"{self.task!r}."
            )
        if self.init is not None:
            object.__setattr__(self, "task", self.task.replace(init=self.init))
        self._fill_in()
        for name in ("epochs", "batch_size", "evaluate_every", "accumulate"):
            if name == "epochs" or getattr(self, name) is not None:
                object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        object.__setattr__(self, "autocast", _autocast(self.autocast))
        seed = as_seed(self.seed)
        if seed is None:
            raise TaskError(f"seed must be an integer from 0 to 2⁶³ − 1; got {self.seed!r}.")
        object.__setattr__(self, "seed", seed)
        self._check_rate()
        self._check_gradients()
        self._check_scheduler()
        Order(self.seed, self.shuffle)
        check_strategy(self.strategy)
        self._check_stops()

    def _fill_in(self) -> None:
        """Take epochs and batch size from the task, where none are given."""
        given: Any = self
        if given.epochs is None:
            object.__setattr__(self, "epochs", self.task.epochs)
        if given.batch_size == "task":
            own = None if self.chosen.wants_all_rows else self.task.batch_size
            object.__setattr__(self, "batch_size", own)

    def _check_gradients(self) -> None:
        if self.clip_norm is not None and not (is_real(self.clip_norm) and self.clip_norm > 0):
            raise TaskError(f"clip_norm must be a number > 0; got {self.clip_norm!r}.")
        if self.gradient_budget is not None and not self.gradient_budget > 0:
            raise TaskError(f"gradient_budget must be a number > 0; got {self.gradient_budget!r}.")

    def _check_scheduler(self) -> None:
        if self.scheduler is not None and not callable(self.scheduler):
            raise TaskError(
                "scheduler must be a function (optimizer) -> torch learning rate scheduler, such as "
                f"functools.partial(StepLR, step_size=3); got {self.scheduler!r}."
            )
        if self.scheduler_step not in ("epoch", "step"):
            raise TaskError(
                f"scheduler_step must be 'epoch' or 'step'; got {self.scheduler_step!r}."
            )

    @functools.cached_property
    def chosen(self) -> ChosenOptimizer:
        """The optimizer that is meant, with its hyperparameters: a name stands for a class."""
        return choose(self.optimizer, self.hyperparameters)

    @property
    def rate(self) -> Rate | None:
        """The learning rate: as given, or the schedule that the optimizer's name asks for, with the
        given one as its peak.
        """
        make = self.chosen.schedule
        if make is None:
            return self.lr
        batches = epoch_steps(self.task.data.train, self.batch_size)
        if batches is None:
            raise TaskError(
                f"The schedule of {self.optimizer!r} needs to know how many steps the run has; the "
                "training set does not say how many rows it has. Give a schedule as lr."
            )
        return make(cast("float", self.lr), self.epochs * -(-batches // self.accumulate))

    def _check_rate(self) -> None:
        lr: Any = self.lr
        is_named = self.chosen.schedule is not None
        if is_named and (lr is None or is_schedule(lr) or self.scheduler is not None):
            raise TaskError(
                f"The schedule of {self.optimizer!r} needs a number as lr, its peak, and no other "
                f"schedule beside it; got lr={lr!r}."
            )
        if is_schedule(lr):
            if self.scheduler is not None:
                raise TaskError("lr is a schedule already, so there is no place for a scheduler.")
        elif lr is not None and not (_is_number(lr) and lr >= 0):
            raise TaskError(f"lr must be a number ≥ 0, or a function of the step; got {lr!r}.")

    def _check_stops(self) -> None:
        stop: Any = self.early_stopping
        if stop is not None and not isinstance(stop, EarlyStopping):
            raise TaskError(
                "early_stopping must be an EarlyStopping, such as EarlyStopping(patience=3); "
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
            raise TaskError(f"gradient_tolerance must be a number ≥ 0; got {tolerance!r}.")
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
            if field.name != "hyperparameters" and getattr(self, field.name) != field.default
        ]
        settings += [f"{name}={value!r}" for name, value in self.hyperparameters.items()]
        return f"Recipe({', '.join([repr(self.task), self.chosen.name, *settings])})"

    def replace(self, **parts: Any) -> Self:
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

    @abc.abstractmethod
    def bind(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer, bound to the parameters of a model of the task."""

    @abc.abstractmethod
    def fit(
        self,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
        keep_path: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
        callbacks: Iterable[Any] = (),
    ) -> Run:
        """Train by this recipe; return the run."""


@dataclass
class Run(Trained):
    """A finished run: the trained model, its history, and why it stopped.

    `stopped` is "epochs" (all were done), "early stopping", "target", "gradient" (‖g‖ below the
    tolerance), "gradients" (their budget is spent), "interrupted" (Ctrl-C), or "diverged" or
    "failed" (only on the run that an error carries as its `run`). `steps` counts updates of the
    parameters: a batch that is only gathered, or left out, is none. `reached` tells when the target
    was first met: `stop_at`, or else the task's own. `best` is the epoch that was best by early
    stopping's figure, or else by validation loss, or else training loss. `seconds` is time spent in
    training, evaluations excluded; `gradients` what it computed in gradient-equivalents
    (`thalweg.train.gradients`): a step of most optimizers on a batch of the task's size is 1, one of SAM
    2, one of L-BFGS as many as its line search takes, and an epoch of Adam costs the same whatever the
    size of its batches.

    `model` is where it is to be used: for an optimizer that keeps an average, at the average, with
    batch normalization's statistics computed there. `optimizer.train()` moves its parameters back
    to where training left them, to go on from there.
    """

    recipe: BaseRecipe
    model: nn.Module
    optimizer: torch.optim.Optimizer
    history: History
    evaluations: list[Evaluation]
    steps: int
    seconds: float
    gradients: float
    stopped: str
    best: Epoch | None
    reached: Reached | None

    def __repr__(self) -> str:
        figures = f", {summary(self.history[-1])}" if len(self.history) else ""
        return (
            f"Run({self.task.name!r}, {type(self.optimizer).__name__}, epochs={self.epochs}, "
            f"steps={self.steps}, stopped={self.stopped!r}{figures})"
        )

    def _repr_html_(self) -> str:
        """What notebooks show: the recipe, why the run ended, and its epochs."""
        said = f"{self.recipe!r}: {self.steps} steps in {self.seconds:.3g} s, stopped by {self.stopped}"
        return f"<p><code>{escape(said)}</code></p>{self.history._repr_html_()}"

    @property
    def task(self) -> Task:
        """The task that was learned."""
        return self.recipe.task

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the run into a folder that holds none: recipe, history, weights; return the folder.

        `thalweg.train.load_run` reads it.

        Raises:
            CheckpointError: the folder holds a run already, or cannot be written to.
        """
        return save_run(self, path)


def _autocast(given: Any) -> str | None:
    """Return the name of the type to compute in, or None."""
    name = str(given).removeprefix("torch.") if given is not None else None
    if name in (None, "bfloat16"):
        return name
    advice = "float16 needs a loss scaler, and bfloat16 none: use it" if name == "float16" else ""
    raise TaskError(f"autocast is None or 'bfloat16'; got {given!r}. {advice}".rstrip(". ") + ".")


def _is_number(value: object) -> bool:
    """Return whether `value` is a real number: Python's, NumPy's, or a tensor of one."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_complex()
    return is_real(value)
