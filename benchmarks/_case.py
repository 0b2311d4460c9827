"""A case: all that one training needs, run by `fit` or by a loop written by hand.

A patient is a kind of case; a seed draws one of it. A plant has a twin, the same case without the fault.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg import Task, fit
from thalweg.errors import ThalwegError
from thalweg.tasks import Data, Order
from thalweg.train import Recipe

Array = np.ndarray[Any, Any]
Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Case:
    """A task and the settings of its training, those of `fit`."""

    task: Task
    optimizer: Any = "adam"
    lr: float = 1e-2
    epochs: int = 10
    batch_size: int | None = 64
    seed: int = 0
    shuffle: Any = "epoch"
    scheduler: Any = None
    scheduler_step: Any = "epoch"
    init: Any = None
    clip_norm: float | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    def replace(self, **parts: Any) -> Case:
        """Return the case with some parts exchanged."""
        return dataclasses.replace(self, **parts)

    def with_model(self, change: Callable[[nn.Module], nn.Module]) -> Case:
        """Return the case with each fresh model changed."""
        build = self.task.build
        return self.replace(task=self.task.replace(model=lambda: change(build()), init=None))

    def with_rows(self, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Case:
        """Return the case with the training rows changed; the validation set stays."""
        data = self.task.data
        train = change(data.train.inputs.clone(), data.train.targets.clone())
        kept = data.validation
        assert kept is not None
        validation = (kept.inputs, kept.targets)
        return self.replace(task=self.task.replace(data=Data(train, validation=validation)))

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of `fit` and of `Recipe` but for the task and the optimizer."""
        names = (
            "lr",
            "epochs",
            "batch_size",
            "seed",
            "shuffle",
            "scheduler",
            "scheduler_step",
            "init",
        )
        return {name: getattr(self, name) for name in (*names, "clip_norm")}

    def fit(self, callbacks: Iterable[Any] = ()) -> Outcome:
        """Train by `fit`; a run that diverges has an outcome, too."""
        with warnings.catch_warnings(), contextlib.suppress(Warning):
            warnings.simplefilter("ignore")
            try:
                run = fit(
                    self.task,
                    self.optimizer,
                    **self.settings,
                    **self.hyperparameters,
                    progress=False,
                    callbacks=callbacks,
                )
            except ThalwegError as error:
                run = getattr(error, "run", None)
                return _outcome(run, f"{type(error).__name__}: {error}")
        return _outcome(run, "")

    def loop(self) -> Loop:
        """Return model, optimizer and batches for a loop by hand."""
        recipe = Recipe(
            self.task, self.optimizer, **self.settings, hyperparameters=dict(self.hyperparameters)
        )
        torch.manual_seed(self.seed)
        np.random.seed(self.seed)
        model = self.task.build()
        return Loop(self, model, recipe.bind(model))


@dataclass(frozen=True)
class Outcome:
    """How a run ended: validation losses and metrics of the epochs, and what it raised."""

    losses: tuple[float, ...]
    metrics: tuple[float, ...]
    steps: int
    error: str = ""
    model: Any = field(default=None, repr=False, compare=False)

    @property
    def learned(self) -> bool:
        """Whether the loss of the validation set is finite and fell, or the metric is beyond .9."""
        if self.error or not self.losses:
            return False
        return self.losses[-1] < self.losses[0] or bool(self.metrics and self.metrics[-1] > 0.9)

    def worse_than(self, other: Outcome) -> bool:
        """Return whether it is worse, at the end or in the mean of the epochs, by .05 in the metric or 10 %
        in the loss.
        """
        if self.error or not self.losses or not np.isfinite(self.losses[-1]):
            return True
        if other.error or not other.losses:
            return False
        loss = max(self.losses[-1] / other.losses[-1], np.mean(self.losses) / np.mean(other.losses))
        if not self.metrics:
            return bool(loss > 1.1)
        metric = max(
            other.metrics[-1] - self.metrics[-1], np.mean(other.metrics) - np.mean(self.metrics)
        )
        return bool(metric > 0.05 or loss > 1.1)


def _outcome(run: Any, error: str) -> Outcome:
    if run is None:
        return Outcome((), (), 0, error)
    scores = [epoch.validation for epoch in run.history]
    metrics = [value for each in scores for value in list(each.metrics.values())[:1]]
    return Outcome(tuple(each.loss for each in scores), tuple(metrics), run.steps, error, run.model)


@dataclass
class Loop:
    """A loop by hand: `for loss, batch in loop: …` yields after each step of the optimizer."""

    case: Case
    model: nn.Module
    optimizer: torch.optim.Optimizer

    def loss(self, model: nn.Module, batch: tuple[Any, Any]) -> Tensor:
        """Return the objective of a batch."""
        return self.case.task.cost.objective(model, *batch)

    def __iter__(self) -> Iterator[tuple[Tensor, tuple[Any, Any]]]:
        case = self.case
        order = Order(case.seed, case.shuffle)
        scheduler = case.scheduler(self.optimizer) if case.scheduler else None
        for epoch in range(1, case.epochs + 1):
            for batch in case.task.data.train.batches(case.batch_size, order, epoch):
                self.model.train()
                self.optimizer.zero_grad()
                loss = self.loss(self.model, batch)
                loss.backward()
                self.optimizer.step()
                yield loss.detach(), batch
                if not torch.isfinite(loss.detach()):
                    return
                if scheduler and case.scheduler_step == "step":
                    scheduler.step()
            if scheduler and case.scheduler_step == "epoch":
                scheduler.step()


@dataclass(frozen=True)
class Patient:
    """A kind of case: a plant with the name of its cause, or a healthy run.

    Args:
        name: what it is.
        cause: the catalogue's name of the fault; None for what is healthy, "unlisted" for faults that
            the catalogue does not name.
        look_alike_of: the catalogue's name that a healthy run resembles.
        make: the case of a seed.
        twin: the same case without the fault, for a plant.
        information: whether the cause is no fault but something to be told.
    """

    name: str
    cause: str | None
    look_alike_of: str | None
    make: Callable[[int], Case]
    twin: Callable[[int], Case] | None = None
    information: bool = False

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.cause is None or self.information


Draw = Callable[[np.random.Generator], Case]
Fault = Callable[[Case, np.random.Generator], Case]


def plant(name: str, cause: str, base: Draw, fault: Fault, *, information: bool = False) -> Patient:
    """Return a plant: a fault in a case that `base` draws, both from the seed."""

    own = zlib.crc32(name.encode())  # so that no two plants have the same twins

    def twin(seed: int) -> Case:
        return base(np.random.default_rng([seed, own])).replace(seed=seed)

    def make(seed: int) -> Case:
        return fault(twin(seed), np.random.default_rng([seed, own, 1]))

    return Patient(name, cause, None, make, twin, information)


def healthy(name: str, draw: Draw, look_alike_of: str | None = None) -> Patient:
    """Return a healthy run, drawn from the seed."""

    def make(seed: int) -> Case:
        return draw(np.random.default_rng([seed, zlib.crc32(name.encode())])).replace(seed=seed)

    return Patient(name, None, look_alike_of, make)
