"""A sweep: training steps with rising learning rates, until the loss rises as well."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from thalweg.errors import DataError, DivergedError, TaskError
from thalweg.objective import Cost
from thalweg.objective.nested import mapped
from thalweg.objective.weight import Weight
from thalweg.tasks.sources.batches import Order
from thalweg.tasks.sources.source import ArraySource, Placement, Source
from thalweg.train.health.diverged import likely_cause
from thalweg.train.health.failure import NO_GRADIENT
from thalweg.train.optimizers.known import needs_residuals, with_inner
from thalweg.train.restored.randomness import seed_noise
from thalweg.train.running.step import TrainingStep

_RISEN = 4.0
"""A sweep ends when the smoothed objective exceeds its least value so many times."""

_MEMORY = 0.9
"""The share of the last smoothed objective in the next one."""

_PASSED_OVER = 1000
"""After so many batches in a row in which nothing counts, the sweep gives up."""

Stopped = Literal["highest", "risen", "not finite"]


@dataclass(frozen=True)
class Sweep:
    """One sweep: the objective J = L + λΩ on each batch, in the order of the rates.

    `start` is J before any step; `losses[i]` is J after the step with the i-th rate, on the next batch;
    `smoothed[i]` is the exponential mean of `start` and the losses up to there, free of bias. `stopped`:
    "highest" (all rates were tried), "risen" (`smoothed` exceeded 4 times its least value), "not finite"
    (the step with the next rate made J NaN or infinite).
    """

    seed: int
    start: float
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    stopped: Stopped


@dataclass(frozen=True)
class SweepSetup:
    """What a sweep needs: a model, its optimizer, the cost, and the training set."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    source: Source
    cost: Cost
    place: Placement

    def batches(self, seed: int, batch_size: int | None) -> Iterator[tuple[Any, Any]]:
        """Yield batches without end; each epoch has its own order and its own random numbers."""
        order = Order(seed)
        where = None if isinstance(self.source, ArraySource) else self.place
        for epoch in itertools.count(1):
            seed_noise(seed, epoch, self.place.device)
            empty = True
            for batch in self.source.batches(batch_size, order, epoch, where):
                empty = False
                yield batch
            if empty:
                raise DataError(
                    f"The training set yielded no batch in epoch {epoch}. A data set that can be run "
                    "through only once serves a single epoch."
                )


class Rates:
    """Sets the learning rates of an optimizer's groups together and keeps their ratios.

    Raises:
        TaskError: where there is no learning rate, or none that can be set.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        name = type(optimizer).__name__
        self.groups = optimizer.param_groups
        if any("lr" not in group for group in self.groups):
            raise TaskError(f"{name} has no learning rate: its groups hold no 'lr'.")
        if any(
            "lr" in each.schedules_of(group)
            for each in with_inner(optimizer)
            if hasattr(each, "schedules_of")
            for group in self.groups
        ):
            raise TaskError(
                f"The learning rate of this {name} is a schedule, which sets it at every step. Give the "
                "optimizer a number, and the schedule its peak afterwards."
            )
        rates = [float(group["lr"]) for group in self.groups]
        first = next((rate for rate in rates if rate > 0), None)
        if first is None:
            raise TaskError(
                f"Every learning rate of this {name} is 0: there are no ratios to keep."
            )
        self.ratios = [rate / first for rate in rates]

    def set(self, rate: float) -> None:
        """Give the first group that is trained the rate `rate`, the others in proportion."""
        for group, ratio in zip(self.groups, self.ratios, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * ratio)
            else:
                group["lr"] = rate * ratio


def sweep(subject: SweepSetup, rates: Sequence[float], seed: int, batch_size: int | None) -> Sweep:
    """Train `subject`, in the mode that it is in, with each rate for one step; return what was measured.

    Raises:
        DivergedError: if the objective is not finite before any step.
    """
    steps = _Steps(subject)
    average = RunningMean()
    losses: list[float] = []
    smoothed: list[float] = []
    batches = subject.batches(seed, batch_size)
    start = steps.measure(next(batches), batches)
    if not math.isfinite(start):
        raise _not_finite(start, subject, steps.batch)
    average.add(start)
    stopped: Stopped = "highest"
    for rate, batch in zip(rates, batches, strict=False):
        try:
            steps.advance(rate)
            value = steps.measure(batch, batches)
        except DivergedError:  # an optimizer that checks its gradients raises it first
            value = math.nan
        if not math.isfinite(value):
            stopped = "not finite"
            break
        losses.append(value)
        smoothed.append(average.add(value))
        if average.has_risen():
            stopped = "risen"
            break
    return Sweep(seed, start, tuple(losses), tuple(smoothed), stopped)


class RunningMean:
    """The bias-corrected exponential mean of a sequence, and the least value that it had.

    >>> average = RunningMean()
    >>> [round(average.add(value), 3) for value in (1.0, 1.0, 0.0)]
    [1.0, 1.0, 0.631]
    """

    def __init__(self) -> None:
        self.sum = self.weight = 0.0
        self.least = math.inf

    def add(self, value: float) -> float:
        """Take the next value; return the mean."""
        self.sum = _MEMORY * self.sum + (1 - _MEMORY) * value
        self.weight = _MEMORY * self.weight + (1 - _MEMORY)
        self.now = self.sum / self.weight
        self.least = min(self.least, self.now)
        return self.now

    def has_risen(self) -> bool:
        """Return whether the mean exceeds 4 times its least value (of a negative one: by 3 of it)."""
        return self.now - self.least > (_RISEN - 1) * abs(self.least)


class _Steps:
    """Measuring an objective, and the step that its gradient gives."""

    def __init__(self, subject: SweepSetup) -> None:
        self.subject = subject
        self.rates = Rates(subject.optimizer)
        cost, model = subject.cost, subject.model
        if needs_residuals(subject.optimizer):
            raise TaskError(
                f"{type(subject.optimizer).__name__} has no learning rate that a sweep could find: its lr "
                "is a factor of the first trust region alone; those that follow it finds itself."
            )
        self.step = TrainingStep(model, subject.optimizer, cost.surrogate, cost.bind_penalty(model))
        self.value: Tensor
        self.loss: Tensor
        self.weight: Weight
        self.batch: tuple[Any, Any]
        self.rows = self.usual_rows = 0

    def measure(self, batch: tuple[Any, Any], more: Iterator[tuple[Any, Any]]) -> float:
        """Return J on a batch, and keep its graph for the step.

        A batch that weighs nothing, such as one of ignored targets alone, is passed over for one of
        `more`. J of a loss that is a sum is that of as many rows as the first batch had: the last of
        an epoch has fewer.
        """
        for self.batch in itertools.chain([batch], itertools.islice(more, _PASSED_OVER)):
            self.value = self.objective()
            if self.weight:
                break
        else:
            raise DataError(
                f"In {_PASSED_OVER} batches nothing counts for the loss "
                f"{self.subject.cost.surrogate.name}: all their targets are ignored."
            )
        self.usual_rows = self.usual_rows or self.rows
        value = self.value.item()
        if self.weight == "sum" and self.rows != self.usual_rows:
            return value + self.loss.item() * (self.usual_rows / self.rows - 1)
        return value

    def objective(self) -> Tensor:
        # Copies: the same batch is measured again, and a model may change its inputs in place.
        inputs, targets = (mapped(part, torch.clone) for part in self.batch)
        self.loss, self.weight, self.rows, _, _ = self.step.forward(inputs, targets)
        return self.step.objective(self.loss)

    def gradient(self, backward: bool = True) -> Tensor:
        value = self.objective()
        if backward:
            self.step.backward(value)
        return value

    def advance(self, rate: float) -> None:
        """Step with the learning rate `rate` on the batch that was measured last."""
        self.rates.set(rate)
        if not self.value.requires_grad:
            raise TaskError(NO_GRADIENT.format(self.step.loss.name))
        if self.step.by_closure:
            self.step.optimizer.step(self.gradient)  # type: ignore[arg-type]  # torch annotates floats
        else:
            self.step.backward(self.value)
            self.step.optimizer.step()


def _not_finite(value: float, subject: SweepSetup, batch: tuple[Any, Any]) -> DivergedError:
    cause = likely_cause([], 0.0, subject.model, batch)
    return DivergedError(
        f"The loss is {value} before any step: the cause lies in the data or the model, not in the "
        f"learning rate. {cause}"
    )
