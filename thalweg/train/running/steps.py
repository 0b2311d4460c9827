"""The steps of each epoch: the innermost loop of training."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import DataError, TaskError
from thalweg.objective import Meter, Scores
from thalweg.objective.nested import mapped
from thalweg.objective.weight import Weight
from thalweg.tasks.sources.batches import Order
from thalweg.tasks.sources.source import ArraySource
from thalweg.train.health.diverged import FitDivergedError, diverged
from thalweg.train.health.moment import Moment
from thalweg.train.machine.devices import synchronize
from thalweg.train.optimizers.known import learning_rate
from thalweg.train.running.progress import Reporter
from thalweg.train.running.reading import Reading
from thalweg.train.running.state import State
from thalweg.train.running.step import Forward
from thalweg.train.running.updates import Updates


class _SmallGradient(Exception):  # noqa: N818 - a signal, no error
    """Ends a step whose first gradient is below the tolerance."""


class _NothingCounts(Exception):  # noqa: N818 - a signal, no error
    """Ends a step on a batch that weighs nothing, such as one of ignored targets alone."""


class Steps:
    """A run's passes over the training set; whatever can be done once is done outside their loop.

    Args:
        state: the run in progress.
        show: is told of each step.
        measure: evaluates on the validation set in this epoch, and may set a reason to stop.
    """

    def __init__(self, state: State, show: Reporter, measure: Callable[[int], Any]) -> None:
        self.state = state
        self.show = show
        self.measure = measure
        self.matched = isinstance(state.train, ArraySource)
        self.step = state.training_step()
        self.by_step = state.scheduler is not None and state.recipe.scheduler_step == "step"
        self.updates = Updates(state.optimizer)
        self.is_told = state.callbacks.wants("step")
        self.reading = Reading(state.train, show.note)
        self.loss = math.nan

    def run(self) -> Scores:
        """Train for one epoch, or until a reason to stop; return the running training scores.

        Raises TaskError or DataError that names epoch and batch for what fails on the way.
        """
        state = self.state
        self.epoch = state.epoch + 1
        self.at = Moment(self.epoch)
        self.step.begin_epoch(self.at)
        meter = state.recipe.task.cost.meter()
        try:
            self._steps(meter)
            if not meter.rows:
                raise DataError(
                    f"The training set yielded no batch in epoch {self.epoch}. A data set that can "
                    "be run through only once serves one epoch."
                )
            self.at.part = "metrics"
            return self._scores(meter)
        except Exception as error:
            told = state.failure(error, self.at)
            if told is error:
                raise
            raise told from error

    def _scores(self, meter: Meter) -> Scores:
        cost = self.state.recipe.task.cost
        scores = meter.scores(cost.penalty_value(self.state.model))
        if math.isnan(scores.loss):  # a batch whose loss is NaN has ended the run before
            raise DataError(
                f"Nothing in the training set counted for the loss {cost.surrogate.name} in epoch "
                f"{self.epoch}: all its targets are ignored."
            )
        return scores

    def _steps(self, meter: Meter) -> None:
        state, recipe, at, step = self.state, self.state.recipe, self.at, self.step
        budget, losses = recipe.gradient_budget, state.losses
        show = self.show if self.show.wants_steps else None
        order = Order(recipe.seed, recipe.shuffle)
        self.started = time.perf_counter()
        batches = state.train.batches(
            recipe.batch_size, order, self.epoch, None if self.matched else state.place
        )
        for inputs, targets in self.reading.watched(batches):
            at.batch += 1
            if self.is_told:
                state.batch = inputs, targets
            if step.by_closure:
                value, (_, weight, rows, outputs, targets) = self.by_closure(inputs, targets)
            else:
                loss, weight, rows, outputs, targets = step.forward(inputs, targets)
                value = self.value(loss, weight, inputs, targets)
                if weight:
                    step.backward(step.objective(loss))
                    state.computed.gradient(rows)
                    if step.observed:
                        state.computed.more(rows, step.observed)
                    at.part = "optimizer"
                    self.loss = value
                    self.advance(rows if weight == "sum" else weight)
            at.part = "metrics"
            meter.add(value, outputs, targets, rows, weight)
            if not weight:
                continue  # nothing in it counts: there is nothing to learn from it
            losses.append(value)
            if show is not None:
                show.step(self.epoch, self.fraction(meter.rows), value)
            if budget is not None and state.gradients >= budget and not state.stopped:
                state.stopped = "gradients"
            if state.is_stopped():
                break
            at.part = "data"
        if state.stopped in ("", "gradients"):
            at.part = "optimizer"
            self.count(self.updates.flush())
        synchronize(state.place.device)
        state.seconds += time.perf_counter() - self.started

    def advance(self, weight: float) -> None:
        """Step by the gradients of a batch of this weight, unless they are small enough to stop."""
        if self.is_small():
            self.state.stopped = "gradient"
        else:
            self.count(self.updates.step(weight))

    def count(self, is_update: bool) -> None:
        """Count an update, and do what is due after it."""
        state, every = self.state, self.state.recipe.evaluate_every
        if not is_update:
            return
        state.step += 1
        if self.is_told:
            # as `untimed` does, which takes microseconds: too long for every step
            state.seconds += time.perf_counter() - self.started
            state.callbacks.tell("step", state, self.loss)
            self.started = time.perf_counter()
        if self.by_step:
            state.scheduler.step()
        if every is not None and state.step % every == 0 and not state.stopped:
            with self.untimed():
                self.at.part = "validation"
                self.measure(self.epoch)

    @contextlib.contextmanager
    def untimed(self) -> Iterator[None]:
        """Do not count what is done inside as time spent in training."""
        synchronize(self.state.place.device)
        self.state.seconds += time.perf_counter() - self.started
        yield
        self.started = time.perf_counter()

    def is_small(self) -> bool:
        """Return whether the gradient is below the tolerance, if there is one."""
        tolerance = self.state.recipe.gradient_tolerance
        return tolerance is not None and _gradient_norm(self.state.model) < tolerance

    def by_closure(self, inputs: Any, targets: Any) -> tuple[float, Forward]:
        """Step an optimizer that evaluates the objective itself (a line search, SAM).

        Returned is what its first evaluation gave, the one before the step. Each has the batch as it
        was, whatever the model or the loss changes in place. One without gradients, called as
        closure(backward=False) or where they are switched off, counts as a forward pass.
        Residuals are asked for in this way; what their products cost, the optimizer says.
        """
        state, step, at = self.state, self.step, self.at
        first: list[tuple[float, Forward]] = []
        looked = False

        def closure(backward: bool = True) -> Tensor:
            nonlocal looked
            found = step.forward(mapped(inputs, torch.clone), mapped(targets, torch.clone))
            value = (
                self.value(found.loss, found.weight, inputs, found.targets) if not first else 0.0
            )
            if not found.weight:
                first.append((value, found))
                raise _NothingCounts
            objective = step.asked(found)
            if not first:
                first.append((value, found))
                self.loss = value
            if not backward or not torch.is_grad_enabled():
                state.computed.forward(found.rows)
                at.part = "optimizer"
                return objective
            step.backward(objective)
            state.computed.gradient(found.rows)
            if step.observed:
                state.computed.more(found.rows, step.observed)
            is_first, looked = not looked, True
            if is_first and self.is_small():
                raise _SmallGradient
            at.part = "optimizer"
            return objective

        at.part = "model"
        rows = step.count(inputs, targets)
        at.part = "optimizer"
        try:
            self.count(self.updates.step(rows, closure))
            state.computed.more(rows, getattr(state.optimizer, "unseen_passes", 0))
        except _NothingCounts:
            pass
        except _SmallGradient:
            state.stopped = "gradient"
        if not first:
            raise TaskError(
                f"{type(state.optimizer).__name__}.step never called the closure that it asks for, "
                "which computes the objective and its gradient."
            )
        return first[0]

    def value(self, loss: Tensor, weight: Weight, inputs: Any, targets: Any) -> float:
        """Return the loss of a batch as a number; raise FitDivergedError if it is not finite."""
        value = loss.item()
        if weight and not math.isfinite(value):
            self.state.seconds += time.perf_counter() - self.started
            raise self.diverged(value, (inputs, targets))
        return value

    def fraction(self, rows: int) -> float | None:
        """Return how much of the epoch `rows` are."""
        total = self.state.train.rows
        return rows / total if total else None

    def diverged(self, value: float, batch: tuple[Any, Any]) -> FitDivergedError:
        """Return the error for a loss that is not finite."""
        state = self.state
        return diverged(
            step=state.step + 1,
            epoch=self.epoch,
            loss=value,
            lr=learning_rate(state.optimizer),
            losses=state.losses,
            model=state.model,
            batch=batch,
            loss_name=state.recipe.task.cost.surrogate.name,
        )


def _gradient_norm(model: torch.nn.Module) -> float:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return float(
        torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    )
