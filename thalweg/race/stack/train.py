"""Training a stack: the loop of `thalweg.train.running.loop`, for all models at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import DivergedError
from thalweg.kept import modes_kept
from thalweg.objective import Scores
from thalweg.race.stack.data import Batches, StackBatch
from thalweg.race.stack.errors import StackError
from thalweg.race.stack.evaluate import Evaluator, row_of
from thalweg.race.stack.loss import StackedPenalty, losses_of
from thalweg.race.stack.models import Models
from thalweg.race.stack.noise import Noise
from thalweg.race.stack.probe import CPU, ROWS, Probe, check_outputs
from thalweg.race.stack.steps import EvaluationPoints, StackStepper, refusal
from thalweg.race.trials.records import Status
from thalweg.train.gradients import Computed, gradient_rows
from thalweg.train.health.diverged import diverged
from thalweg.train.health.failure import failed_step
from thalweg.train.health.moment import Moment
from thalweg.train.history import Evaluation, History
from thalweg.train.machine.devices import synchronize
from thalweg.train.optimizers.known import learning_rate
from thalweg.train.recipe import Recipe
from thalweg.train.restored.modes import evaluating
from thalweg.train.restored.randomness import seed_weights
from thalweg.train.run import Run

_DEAD = 0.25
"""The share of models that must have left before the others are put together again."""


@dataclass
class StackedModel:
    """A model of a stack, and what has become of it."""

    recipe: Recipe
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any = None
    evaluations: list[Evaluation] = field(default_factory=list)
    status: Status | None = None
    error: str | None = None
    run: Run | None = None


def enter(recipe: Recipe) -> StackedModel:
    """Build the model and the optimizer of a recipe, as `fit` does under its seed.

    Raises:
        StackError: the optimizer cannot step a model of a stack.
    """
    seed_weights(recipe.seed, CPU)
    model = recipe.task.build()
    if recipe.device is not None:
        model = model.to(recipe.device)
    optimizer = recipe.bind(model)
    reason = refusal(optimizer, model)
    if reason is not None:
        raise StackError(reason)
    scheduler = None if recipe.scheduler is None else recipe.scheduler(optimizer)
    if scheduler is not None and (
        recipe.scheduler_step != "step"
        or isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    ):
        raise StackError("The scheduler is stepped between epochs.")
    return StackedModel(recipe, model, optimizer, scheduler)


class ModelStack:
    """Models that train together.

    Args:
        members: the models with their optimizers, of recipes that take the same steps.
        probe: what is known of their task.

    Raises:
        StackError: they cannot train together.
    """

    def __init__(self, members: Sequence[StackedModel], probe: Probe) -> None:
        self._recipe = members[0].recipe
        self._probe = probe
        self._rows = list(members)
        """The members by their row in the stack; those that have left are there until the next
        compaction."""
        recipe, cost = self._recipe, self._recipe.task.cost
        self._models = Models([m.model for m in members], probe.written)
        self._losses = losses_of(cost.surrogate, probe.train.targets)
        self._penalty = None
        if cost.penalty is not None:
            self._penalty = StackedPenalty(cost, members[0].model, self._models.apply)
        seeds = self._seeds()
        self._batches = Batches(probe.train, seeds, recipe.batch_size, recipe.shuffle)
        self._noise = Noise(seeds, probe.device) if probe.draws or probe.draws_measured else None
        self._evaluator = None
        if probe.validation is not None:
            size, rows = recipe.batch_size, len(probe.train.inputs)
            self._evaluator = Evaluator(
                probe.validation,
                cost,
                losses_of(cost.surrogate, probe.validation.targets),
                self._penalty,
                rows if size is None else min(size, rows),
                whole=probe.draws_measured,
            )
        self._bind()
        self._check()
        count = len(self._rows)
        self._alive = np.ones(count, dtype=bool)
        self._first, self._top, self._last = (np.zeros(count) for _ in range(3))
        self._step = 0
        self._computed = Computed(gradient_rows(recipe.task))
        self._seconds = 0.0
        self._stopped = ""

    @property
    def merged(self) -> int:
        """How many models are stepped by one optimizer."""
        return self._steps.merged

    def train(self) -> None:
        """Train all models; what has become of each stands in its member."""
        base = self._models.base
        with modes_kept(base):
            base.train()
            for epoch in range(1, self._recipe.epochs + 1):
                self._epoch(epoch)
                if self._stopped or not self._alive.any():
                    break
                self._compact()
        self._finish()

    _batch = 1
    """The number of the batch in its epoch."""

    def try_step(self) -> Any:
        """Take a first step, outside any run; return the losses."""
        if self._noise is not None:
            self._noise.seed(1)
        self._models.base.train()
        self.advance(next(self._batches.epoch(1)), 1)
        return self._last

    def _epoch(self, epoch: int) -> None:
        recipe = self._recipe
        every, budget = recipe.evaluate_every, recipe.gradient_budget
        if self._noise is not None:
            self._noise.seed(epoch)
        before = torch.default_generator.get_state()
        started = time.perf_counter()
        for number, batch in enumerate(self._batches.epoch(epoch), 1):
            self._batch = number
            self.advance(batch, epoch)
            self._step += 1
            self._computed.gradient(batch.rows)
            if not self._alive.any():
                break
            if budget is not None and self._computed.gradients >= budget:
                self._stopped = "gradients"
                break
            if every is not None and self._step % every == 0:
                self._count(started)
                self._evaluate(epoch)
                started = time.perf_counter()
        self._count(started)
        if self._noise is None and not torch.equal(before, torch.default_generator.get_state()):
            raise StackError("An optimizer draws from the global generator, which a stack shares.")
        self._evaluate(epoch)

    def advance(self, batch: StackBatch, epoch: int) -> None:
        """Take one step of every model."""
        with self._drawing(self._probe.draws):
            outputs = self._models(batch.inputs, shared=batch.shared)
        losses = self._losses(outputs, batch.targets, batch.shared)
        values = losses.detach().cpu().double().numpy()  # the one wait for a device in a step
        bad = self._alive & ~np.isfinite(values)
        if bad.any():
            self._check_counts(outputs, batch, bad)
            for row in map(int, np.flatnonzero(bad)):
                self._diverge(row, float(values[row]), batch, epoch)
        objectives = (
            losses if self._penalty is None else losses + self._penalty(self._models.trained)
        )
        self._models.backward(objectives)
        for row, error in self._steps.step().items():
            at = Moment(epoch, self._batch, "optimizer")
            self._fail(row, failed_step(error, at, self._rows[row].optimizer))
        if self._step == 0:
            self._first, self._top = values.copy(), values.copy()
        np.maximum(self._top, values, out=self._top)
        self._last = values

    def _drawing(self, draws: bool) -> contextlib.AbstractContextManager[Any]:
        """Return what gives each model its own noise, where it draws any."""
        return self._noise if draws and self._noise is not None else contextlib.nullcontext()

    # -- measuring ------------------------------------------------------------------------------------

    def _evaluate(self, epoch: int) -> None:
        done = any(m.evaluations and m.evaluations[-1].step == self._step for m in self._living())
        if done or not self._alive.any():
            return
        scores = self.measured()
        for row in np.flatnonzero(self._alive) if scores else ():
            self._rows[row].evaluations.append(
                Evaluation(epoch, self._step, self._seconds, self._computed.gradients, scores[row])
            )

    def measured(self) -> list[Scores]:
        """Return the scores of every model on the validation set; none where there is no such set."""
        if self._evaluator is None:
            return []
        kept = None if self._noise is None else self._noise.states()
        with self._points.entered(), self._drawing(self._probe.draws_measured):
            scores = self._evaluator(self._models)
        if self._noise is not None and kept is not None:
            self._noise.go_back(kept)
        return scores

    def _count(self, started: float) -> None:
        """Count the time since `started`, shared among the models that used it."""
        synchronize(self._probe.device)
        self._seconds += (time.perf_counter() - started) / max(1, len(self._rows))

    # -- leaving --------------------------------------------------------------------------------------

    def _diverge(self, row: int, value: float, batch: StackBatch, epoch: int) -> None:
        member = self._rows[row]
        losses = [self._first[row], self._top[row], self._last[row]] if self._step else []
        error = diverged(
            step=self._step + 1,
            epoch=epoch,
            loss=value,
            lr=learning_rate(member.optimizer),
            losses=[float(loss) for loss in losses],
            model=member.model,
            batch=batch.of(row),
            loss_name=self._recipe.task.cost.surrogate.name,
        )
        member.status, member.error = "diverged", str(error)
        member.run = self._run(member, "diverged")
        self._leave(row)

    def _check_counts(self, outputs: Any, batch: StackBatch, bad: Any) -> None:
        """Refuse a batch in which nothing counts for a model, which is then not stepped alone."""
        surrogate = self._recipe.task.cost.surrogate
        for row in map(int, np.flatnonzero(bad)):
            targets = batch.of(row)[1]
            if not surrogate.measured(row_of(outputs, row), targets, batch.rows)[1]:
                raise StackError(
                    "A batch holds nothing that counts for the loss: its targets are all ignored."
                )

    def _fail(self, row: int, error: Exception) -> None:
        member = self._rows[row]
        if member.status is None:
            member.status, member.error = outcome_of(error)
        self._leave(row)

    def _leave(self, row: int) -> None:
        self._alive[row] = False
        self._steps.leave(row)
        self._points.leave(row)

    def _compact(self) -> None:
        """Put the living together, if enough have left."""
        rows = [int(row) for row in np.flatnonzero(self._alive)]
        if len(self._rows) - len(rows) < _DEAD * len(self._rows):
            return
        self._models.keep(rows)
        self._rows = [self._rows[row] for row in rows]
        self._alive = np.ones(len(rows), dtype=bool)
        self._first, self._top, self._last = (
            values[rows] for values in (self._first, self._top, self._last)
        )
        seeds = self._seeds()
        self._batches.keep(seeds)
        if self._noise is not None:
            self._noise.keep(seeds)
        self._bind()

    def _bind(self) -> None:
        """Gather the optimizers of the members."""
        optimizers = [member.optimizer for member in self._rows]
        self._steps = StackStepper(optimizers, [member.scheduler for member in self._rows])
        self._points = EvaluationPoints(optimizers, [member.model for member in self._rows])

    # -- the end --------------------------------------------------------------------------------------

    def _finish(self) -> None:
        for row in np.flatnonzero(self._alive):
            member = self._rows[row]
            self._points.go(int(row))
            member.status = "finished"
            member.run = self._run(member, self._stopped or "epochs")

    def _run(self, member: StackedModel, stopped: str) -> Run:
        return Run(
            recipe=member.recipe,
            model=member.model,
            optimizer=member.optimizer,
            history=History(),
            evaluations=member.evaluations,
            steps=self._step,
            seconds=self._seconds,
            gradients=self._computed.gradients,
            stopped=stopped,
            best=None,
            reached=None,
        )

    def _living(self) -> list[StackedModel]:
        return [self._rows[row] for row in np.flatnonzero(self._alive)]

    def _seeds(self) -> list[int]:
        return [member.recipe.seed for member in self._rows]

    def _check(self) -> None:
        inputs: Tensor = self._probe.train.inputs[:ROWS]
        if self._probe.draws_measured:
            return  # what is drawn is not the same twice
        with evaluating(self._models.base):
            stacked = self._models(inputs.clone(), shared=True)
        if isinstance(stacked, Tensor):
            check_outputs(stacked, [member.model for member in self._rows], inputs)


def outcome_of(error: BaseException) -> tuple[Status, str]:
    """Return how a trial ended that raised an error."""
    if isinstance(error, DivergedError):
        return "diverged", str(error)
    return "failed", f"{type(error).__name__}: {error}"
