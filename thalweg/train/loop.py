"""The loop: epochs of steps, evaluations between them, and the reasons to stop."""

from __future__ import annotations

import contextlib
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import DataError, TaskError
from thalweg.numeric import as_whole
from thalweg.objective import Scores
from thalweg.objective.weight import Weight
from thalweg.tasks.batches import Order
from thalweg.tasks.sources import ArraySource
from thalweg.tasks.target import figure
from thalweg.train.checkpoint import load, prepare, save
from thalweg.train.devices import usable_device
from thalweg.train.diverged import FitDivergedError, diverged
from thalweg.train.evaluate import count_rows, evaluate
from thalweg.train.history import Epoch, Evaluation
from thalweg.train.optimizers import gradient_cleaner, learning_rate, needs_closure
from thalweg.train.progress import Reporter, reporter
from thalweg.train.randomness import isolated, seed_noise, seed_weights
from thalweg.train.recipe import Recipe
from thalweg.train.run import Run
from thalweg.train.state import State, begin
from thalweg.train.stopping import Reached


def train(
    recipe: Recipe,
    *,
    checkpoint: str | os.PathLike[str] | None,
    checkpoint_every: int,
    resume: bool,
    progress: bool | None,
) -> Run:
    """Train by `recipe`; `fit` documents the arguments."""
    every = as_whole(checkpoint_every)
    if every is None or every < 1:
        raise TaskError(f"checkpoint_every is a whole number ≥ 1; got {checkpoint_every!r}.")
    file = prepare(checkpoint, resume)
    device = None if recipe.device is None else usable_device(recipe.device)
    # Without a device of its own the model may still be built on one; its generator is then not
    # isolated.
    home = device or torch.device("cpu")
    with isolated(home):
        seed_weights(recipe.seed, home)
        state = begin(recipe, device)
        if file is not None and resume and file.exists():
            load(file, state)
        show = reporter(progress, recipe.epochs, state.epoch)
        message = ""
        held = state.epoch
        try:
            _epochs(state, show, file, every)
            message = _last_word(state, held)
        except KeyboardInterrupt:
            state.stopped = "interrupted"
            message = f"interrupted in epoch {state.epoch + 1}"
        except FitDivergedError as error:
            state.stopped = "diverged"
            with contextlib.suppress(DataError):  # what went wrong before is said instead
                state.point.go()
            error.run = state.run()
            raise
        finally:
            show.close(message)
        best = None if state.tracker is None else state.tracker.parameters
        state.point.go(recompute=not best)
        if state.tracker is not None:
            state.tracker.restore(state.model)
        return state.run()


def _epochs(state: State, show: Reporter, file: Path | None, checkpoint_every: int) -> None:
    recipe = state.recipe
    modes = [(module, module.training) for module in state.model.modules()]
    state.model.train()
    try:
        while not state.stopped:
            if state.epoch >= recipe.epochs:
                state.stopped = "epochs"
                break
            if recipe.gradient_budget is not None and state.gradients >= recipe.gradient_budget:
                state.stopped = "gradients"  # before, in the run that this one goes on from
                break
            seed_noise(recipe.seed, state.epoch + 1, state.place.device)
            train_scores = _one_pass(state, show)
            _finish_epoch(state, train_scores, show)
            due = state.epoch % checkpoint_every == 0 or state.epoch == recipe.epochs
            if file is not None and (due or state.stopped):
                save(file, state)
    finally:
        for module, training in modes:
            module.training = training


def _one_pass(state: State, show: Reporter) -> Scores:
    try:
        return _Pass(state, show).run()
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise TaskError(
            f"The loss {state.recipe.task.cost.surrogate.name} has no gradient with respect to the "
            "model's parameters: it was cut off on the way, by .detach(), .item(), NumPy, "
            "torch.no_grad() or an operation such as argmax, in the loss or in the model."
        ) from error


class _SmallGradient(Exception):  # noqa: N818 - it says that there is nothing left to do
    """Ends a step whose first gradient is below the tolerance."""


class _NothingCounts(Exception):  # noqa: N818 - it says that there is nothing to do
    """Ends a step on a batch that weighs nothing, such as one of ignored targets alone."""


class _Pass:
    """One epoch's pass over the training set: the hot loop, with nothing in it that could be
    outside.
    """

    def __init__(self, state: State, show: Reporter) -> None:
        self.state = state
        self.show = show
        self.epoch = state.epoch + 1
        self.clear = gradient_cleaner(state.optimizer, state.model)
        self.closure = needs_closure(state.optimizer)
        self.matched = isinstance(state.train, ArraySource)
        surrogate = state.recipe.task.cost.surrogate
        self.by_rows = isinstance(state.train, ArraySource) and surrogate.weighs_by_rows(
            state.train.targets
        )
        self.by_step = state.scheduler is not None and state.recipe.scheduler_step == "step"

    def run(self) -> Scores:
        """Train for one epoch, or until a reason to stop; return the running training scores."""
        state, recipe = self.state, self.state.recipe
        model, penalty = state.model, state.penalty
        surrogate, meter = recipe.task.cost.surrogate, recipe.task.cost.meter()
        every, clear, budget = recipe.evaluate_every, self.clear, recipe.gradient_budget
        losses, isfinite, matched = state.losses, math.isfinite, self.matched
        show = self.show if self.show.wants_steps else None
        order = Order(recipe.seed, recipe.shuffle)
        started = time.perf_counter()
        for inputs, targets in state.train.batches(
            recipe.batch_size, order, self.epoch, None if matched else state.place
        ):
            rows = len(targets) if matched else count_rows(targets, inputs)
            if self.closure:
                value, outputs, targets, weight = self.by_closure(inputs, targets, rows, started)
            else:
                outputs = model(inputs)
                if not matched:
                    targets = surrogate.match(outputs, targets)
                loss, weight = self.measured(outputs, targets, rows)
                value = loss.item()
                if weight and not isfinite(value):
                    state.seconds += time.perf_counter() - started
                    raise self.diverged(value, (inputs, targets))
                if weight:
                    objective = loss if penalty is None else loss + penalty()
                    clear()
                    torch.autograd.backward(objective)
                    state.gradients += 1
                    self.advance()
            meter.add(value, outputs, targets, rows, weight)
            if not weight:
                continue  # nothing in it counts: there is nothing to learn from it
            losses.append(value)
            if state.stopped:
                break
            state.step += 1
            if self.by_step:
                state.scheduler.step()
            if show is not None:
                show.step(self.epoch, self.fraction(meter.rows), value)
            if budget is not None and state.gradients >= budget:
                state.stopped = "gradients"
                break
            if every is not None and state.step % every == 0:
                state.seconds += time.perf_counter() - started
                _evaluate(state, self.epoch)
                started = time.perf_counter()
                if state.is_stopped():
                    break
        state.seconds += time.perf_counter() - started
        if not meter.rows:
            raise DataError(
                f"The training set yielded no batch in epoch {self.epoch}. A data set that can be "
                "run through only once serves one epoch."
            )
        scores = meter.scores(recipe.task.cost.penalty_value(model))
        if math.isnan(scores.loss):  # a batch whose loss is NaN has ended the run before
            raise DataError(
                f"Nothing in the training set counted for the loss {surrogate.name} in epoch "
                f"{self.epoch}: all its targets are ignored."
            )
        return scores

    def measured(self, outputs: Any, targets: Any, rows: int) -> tuple[Tensor, Weight]:
        """Return the loss of a batch, and what it weighs in the loss of the epoch."""
        surrogate = self.state.recipe.task.cost.surrogate
        if self.by_rows:
            return surrogate(outputs, targets), rows
        return surrogate.measured(outputs, targets, rows)

    def advance(self) -> None:
        """Step by the gradients, unless they are small enough to stop."""
        if self.is_small():
            self.state.stopped = "gradient"
        else:
            self.state.optimizer.step()

    def is_small(self) -> bool:
        """Return whether the gradient is below the tolerance, if there is one."""
        tolerance = self.state.recipe.gradient_tolerance
        return tolerance is not None and _gradient_norm(self.state.model) < tolerance

    def by_closure(
        self, inputs: Any, targets: Any, rows: int, started: float
    ) -> tuple[float, Any, Any, Weight]:
        """Step an optimizer that evaluates the objective itself (a line search, SAM).

        Its first evaluation is the one before the step; what it gave is returned: the loss, the
        outputs, the matched targets, and what the loss weighs.
        """
        state, surrogate = self.state, self.state.recipe.task.cost.surrogate
        first: list[tuple[float, Any, Any, Weight]] = []

        def closure() -> Tensor:
            self.clear()
            outputs = state.model(inputs)
            matched = targets if self.matched else surrogate.match(outputs, targets)
            loss, weight = self.measured(outputs, matched, rows)
            if not weight:
                first.append((loss.item(), outputs, matched, weight))
                raise _NothingCounts
            if not first and not math.isfinite(loss.item()):
                state.seconds += time.perf_counter() - started
                raise self.diverged(loss.item(), (inputs, matched))
            objective = loss if state.penalty is None else loss + state.penalty()
            torch.autograd.backward(objective)
            state.gradients += 1
            if not first:
                first.append((loss.item(), outputs, matched, weight))
                if self.is_small():
                    raise _SmallGradient
            return objective

        try:
            state.optimizer.step(closure)  # type: ignore[arg-type]  # torch annotates floats
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


def _finish_epoch(state: State, train_scores: Scores, show: Reporter) -> None:
    recipe = state.recipe
    epoch = state.epoch + 1
    lr = learning_rate(state.optimizer)
    with contextlib.ExitStack() as stack:
        if state.tracker is not None:  # what it keeps is the model that was measured
            stack.enter_context(state.point.entered())
        validation = _evaluate(state, epoch)
        record = Epoch(epoch, state.step, state.seconds, lr, train_scores, validation)
        state.history.epochs.append(record)
        state.epoch = epoch
        if state.tracker is not None and state.tracker.update(record, state.model):
            state.stopped = state.stopped or "early stopping"
    if state.scheduler is not None and recipe.scheduler_step == "epoch" and not state.stopped:
        if isinstance(state.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            state.scheduler.step(train_scores.loss if validation is None else validation.loss)
        else:
            state.scheduler.step()
    show.epoch(record)


def _evaluate(state: State, epoch: int) -> Scores | None:
    """Measure the validation set at this step, once; note the target when it is first met."""
    if state.validation is None:
        return None
    if state.evaluations and state.evaluations[-1].step == state.step:
        return state.evaluations[-1].scores
    recipe, cost = state.recipe, state.recipe.task.cost
    with state.point.entered():
        scores = evaluate(state.model, state.validation, cost)
    state.evaluations.append(Evaluation(epoch, state.step, state.seconds, state.gradients, scores))
    target = recipe.stop_at or recipe.task.target
    if target is not None and state.reached is None and target.is_reached(scores, cost):
        value = scores[figure(target.metric)]
        state.reached = Reached(state.step, epoch, state.seconds, value)
        if recipe.stop_at is not None:
            state.stopped = "target"
    return scores


def _gradient_norm(model: torch.nn.Module) -> float:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return float(
        torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    )


def _last_word(state: State, held: int) -> str:
    """Return what to say at the end of a run that began with `held` epochs from a checkpoint."""
    if state.stopped == "epochs":
        count = f"{held} epoch{'' if held == 1 else 's'}"
        nothing = f"the checkpoint already holds {count}; nothing to train"
        return nothing if held >= state.recipe.epochs else ""
    if state.stopped == "target" and state.reached is not None:
        hit = state.reached
        return f"target reached at step {hit.step}, after {hit.seconds:.2f} s of training"
    reason = {
        "early stopping": "early stopping",
        "gradient": "the gradient is below the tolerance",
        "gradients": "the budget of gradients is spent",
    }
    return f"stopped after epoch {state.epoch}: {reason.get(state.stopped, state.stopped)}"
