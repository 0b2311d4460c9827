"""The curriculum: easy rows first, harder ones later."""
# ruff: noqa: N801 - strategies are called like functions: `curriculum(start=0.3)`

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.numeric import as_whole, is_real
from thalweg.strategies.curriculum.difficulty import (
    check_difficulty,
    given_difficulty,
    row_losses,
    rows_in_memory,
)
from thalweg.strategies.curriculum.rows import Pace, Ranked, RankedSource, Ranking
from thalweg.strategies.stages.stage import Log, Models, Stage, unchanged
from thalweg.strategies.stages.strategy import Strategy
from thalweg.strategies.stages.units import in_gradients
from thalweg.tasks.sources.weighted import Rows
from thalweg.train.callbacks import Callback, Training
from thalweg.train.history import Epoch
from thalweg.train.run import BaseRecipe

_CHOICES = {
    "order": ("easy", "hard", "random"),
    "sampling": ("deterministic", "stochastic"),
    "pace": ("linear", "root"),
}


@dataclass(frozen=True)
class curriculum(Strategy):
    """Train on the easy rows first, and on more and more of the others as the epochs go by.

    An epoch draws as many rows as the set has, so that it costs what an epoch costs; while only a part is
    open, its rows come several times.

        deterministic: epoch e draws from the easiest c(e)·n rows alone
        stochastic:    each draw is of the easiest start·n rows with probability 1 − h(e), else of the
                       others, h(e) = (1 − start)·c(e): every epoch mixes both, and at the end all rows
                       are drawn alike

    with the fraction c(e) of `Pace`. What each epoch drew from is in the log of the stage,
    `run.stages[-1].log`.

    Args:
        difficulty: "loss", the loss of each row under a first model, which is trained as the recipe says
            with `first_share` of the budget; "self", the loss under the model in training, measured
            again every `refresh` epochs (self-paced: a forward pass over the set each time); a trained
            model, whose losses are taken; a function (inputs, targets) -> a number for each row; or
            these numbers.
        order: "easy" first; "hard" first, the anti-curriculum; or "random", which opens rows in a drawn
            order. The last two are controls: an effect that they share is not one of the order.
        sampling: "deterministic" or "stochastic".
        start: the fraction of the rows that is open in the first epoch.
        until: after this fraction of the epochs all rows are open.
        pace: "linear" or "root", by which the open part grows.
        first_share: what part of the budget the first model gets.
        refresh: epochs between two measurements of a self-paced curriculum.

    Raises:
        TaskError: for a setting out of its range.
        DataError: for a difficulty that is not a number for each row, with the first such row, or data
            that is not in memory.

    Source: Bengio et al. 2009, Curriculum learning; Zaremba and Sutskever 2014 for the mixture; Kumar,
    Packer and Koller 2010, Self-paced learning for latent variable models.

    >>> import numpy as np
    >>> from thalweg import Task, fit
    >>> x = np.linspace(-1, 1, 20, dtype="float32").reshape(-1, 1)
    >>> line = Task((x, 2 * x), "mse", lambda: nn.Linear(1, 1), batch_size=5)
    >>> strategy = curriculum(lambda x, y: x.abs().flatten(), start=0.5)
    >>> run = fit(line, "sgd", lr=0.1, epochs=4, strategy=strategy, progress=False)
    >>> [entry["open"] for entry in run.stages[-1].log], run.steps
    ([0.5, 0.75, 1.0, 1.0], 16)
    """

    difficulty: Any = "loss"
    order: Ranking = "easy"
    sampling: Literal["deterministic", "stochastic"] = "deterministic"
    start: float = 0.25
    until: float = 0.5
    pace: Literal["linear", "root"] = "linear"
    first_share: float = 0.2
    refresh: int = 1

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise TaskError(
                    f"The {name} of a curriculum must be {' or '.join(map(repr, known))}; "
                    f"got {getattr(self, name)!r}."
                )
        for name in ("start", "until", "first_share"):
            value = getattr(self, name)
            if not (is_real(value) and 0 < value <= 1):
                raise TaskError(
                    f"{name} of a curriculum must be a fraction, 0 < {name} ≤ 1; got {value!r}."
                )
        if self.first_share == 1:
            raise TaskError("first_share=1 leaves nothing for the curriculum itself.")
        if (as_whole(self.refresh) or 0) < 1:
            raise TaskError(
                f"refresh must be an integer ≥ 1, a number of epochs; got {self.refresh!r}."
            )
        if isinstance(self.difficulty, str) and self.difficulty not in ("loss", "self"):
            raise TaskError(
                f"A difficulty that is named must be 'loss' or 'self'; got {self.difficulty!r}."
            )

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the curriculum, after the training of a first model where its losses are wanted."""
        rows = rows_in_memory(recipe.task.data.train)
        given = self.difficulty
        if isinstance(given, str) and given == "self":
            return [self._stage(rows, None, paced=True)]
        if isinstance(given, str):
            first = Stage("first model", unchanged, share=self.first_share, is_judged=False)
            rest = self._stage(rows, None, row_passes=rows.rows)
            return [first, dataclasses.replace(rest, share=1 - self.first_share)]
        if isinstance(given, nn.Module):
            return [self._stage(rows, given, row_passes=rows.rows)]
        return [self._stage(rows, given_difficulty(given, rows))]

    def _stage(
        self, rows: Rows, difficulty: Any, *, row_passes: int = 0, paced: bool = False
    ) -> Stage:
        def make(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            measured = difficulty
            if not (paced or isinstance(difficulty, torch.Tensor)):
                first = models[-1] if difficulty is None else difficulty
                measured = row_losses(first, rows, recipe.task.cost)
            watch.ranked = ranked = self._ranked(recipe, measured)
            data = dataclasses.replace(recipe.task.data, train=RankedSource(rows, ranked))
            return recipe.replace(data=data)

        watch = _Watched(rows, self.refresh if paced else 0)
        return Stage("curriculum", make, callbacks=(watch,), row_passes=row_passes, log=watch.log)

    def _ranked(self, recipe: BaseRecipe, difficulty: Any) -> Ranked:
        pace = Pace(self.start, self.until, recipe.epochs, self.pace)
        return Ranked(pace, self.order, self.sampling == "stochastic", difficulty)


class _Watched(Callback):
    """Keeps the log of a curriculum, and measures a self-paced one.

    Args:
        rows: the training rows.
        refresh: epochs between two measurements, 0 for none.
    """

    ranked: Ranked

    def __init__(self, rows: Rows, refresh: int) -> None:
        self.rows, self.refresh = rows, refresh
        self.done = 0

    def log(self) -> Log:
        """Return what each epoch drew from."""
        mixtures = self.ranked.mixtures
        return [mixtures[epoch] for epoch in sorted(mixtures) if epoch <= self.done]

    def start(self, training: Training) -> None:
        """Measure the rows before the first epoch."""
        if self.refresh and self.ranked.difficulty is None:
            self._measure(training)

    def epoch(self, training: Training, record: Epoch) -> None:
        """Measure them again where it is due."""
        self.done = record.epoch
        is_due = self.refresh and record.epoch % self.refresh == 0
        if is_due and record.epoch < training.epochs and self._is_affordable(training):
            self._measure(training)

    def _is_affordable(self, training: Training) -> bool:
        """Return whether anything is left of the budget after a measurement."""
        budget = training.recipe.gradient_budget
        cost = in_gradients(self.rows.rows, training.recipe)
        return not training.stopped and (budget is None or training.gradients + cost < budget)

    def _measure(self, training: Training) -> None:
        self.ranked.difficulty = row_losses(training.model, self.rows, training.task.cost)
        training.computed.forward(self.rows.rows)

    def state_dict(self) -> dict[str, Any]:
        """Return the log, and the difficulties that were measured."""
        measured = self.ranked.difficulty if self.refresh else None
        log = [dict(each) for each in self.log()]
        return {"done": self.done, "log": log, "difficulty": measured}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self.done = int(state["done"])
        self.ranked.mixtures = {int(each["epoch"]): dict(each) for each in state["log"]}
        if self.refresh and state["difficulty"] is not None:
            self.ranked.difficulty = check_difficulty(state["difficulty"], self.rows.rows)
