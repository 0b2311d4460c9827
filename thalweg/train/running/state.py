"""The state of a run in progress."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.generators import Generator
from thalweg.tasks.sources.source import ArraySource, Placement, Source
from thalweg.tasks.task import Task
from thalweg.train.callbacks import Callbacks
from thalweg.train.gradients import Computed
from thalweg.train.health.failure import failure
from thalweg.train.health.moment import Moment
from thalweg.train.history import Epoch, Evaluation, History, Reached
from thalweg.train.restored.point import EvaluationPoint
from thalweg.train.run import BaseRecipe, Run
from thalweg.train.running.step import Autocast, TrainingStep, residuals_for
from thalweg.train.stopping import Tracker


@dataclass
class State:
    """A run in progress; of it, callbacks see what `Training` names."""

    recipe: BaseRecipe
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    train: Source
    validation: Source | None
    place: Placement
    penalty: Callable[[], Tensor] | None
    tracker: Tracker | None
    point: EvaluationPoint
    noise: list[Generator]
    """The generators of their own that model, cost and validation set draw from."""
    defaults: dict[str, Any]
    """Those of the optimizer as it was made: loading a state into it adds some of PyTorch's."""
    computed: Computed
    callbacks: Callbacks
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    stopped: str = ""
    reached: Reached | None = None
    history: History = field(default_factory=History)
    evaluations: list[Evaluation] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    batch: Any = None

    @property
    def task(self) -> Task:
        """The task that is learned."""
        return self.recipe.task

    @property
    def epochs(self) -> int:
        """How many epochs are planned."""
        return self.recipe.epochs

    def stop(self, reason: str = "callback") -> None:
        """End the run after the step or epoch that it is in."""
        if not isinstance(reason, str) or not reason:
            raise TaskError(
                f"The reason to stop must be a text, such as 'learned'; got {reason!r}."
            )
        self.stopped = self.stopped or reason

    @property
    def gradients(self) -> float:
        """What was computed, in gradient-equivalents."""
        return self.computed.gradients

    def run(self) -> Run:
        """Return the run as it stands."""
        return Run(
            recipe=self.recipe,
            model=self.model,
            optimizer=self.optimizer,
            history=self.history,
            evaluations=self.evaluations,
            steps=self.step,
            seconds=self.seconds,
            gradients=self.gradients,
            stopped=self.stopped,
            best=self._best(),
            reached=self.reached,
        )

    def training_step(self) -> TrainingStep:
        """Return the step that the run takes on each batch."""
        cost, source = self.recipe.task.cost, self.train
        loss = cost.surrogate
        return TrainingStep(
            self.model,
            self.optimizer,
            loss,
            self.penalty,
            residuals=residuals_for(self.optimizer, cost, self.model),
            is_matched=isinstance(source, ArraySource),
            autocast=self._autocast(),
            by_rows=isinstance(source, ArraySource) and loss.weighs_by_rows(source.targets),
        )

    def _autocast(self) -> Autocast | None:
        if self.recipe.autocast is None:
            return None
        home = self.place.device or torch.device("cpu")
        return functools.partial(torch.autocast, home.type, dtype=torch.bfloat16)

    def is_stopped(self) -> bool:
        """Return whether there is a reason to stop."""
        return bool(self.stopped)

    def failure(self, error: Exception, at: Moment) -> Exception:
        """Return the error to raise for what was raised at this moment; see `health.failure`."""
        return failure(
            error,
            at,
            model=self.model,
            optimizer=self.optimizer,
            loss=self.recipe.task.cost.surrogate.name,
        )

    def _best(self) -> Epoch | None:
        if self.tracker is not None:
            return self.tracker.best
        if not len(self.history):
            return None
        return min(self.history, key=_loss)


def _loss(record: Epoch) -> tuple[bool, float]:
    scores = record.train if record.validation is None else record.validation
    return math.isnan(scores.loss), scores.loss  # NaN is neither less nor more than any number
