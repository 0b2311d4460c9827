"""The interface of all searches: they ask for points, and are told their scores."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.errors import TaskError
from thalweg.race.trials.point import Point

_SHARES = 64
"""Shares of seeds differ by more than one part in so many: no tuning has as many seeds."""


@dataclass(frozen=True, order=True)
class Score:
    """How well a point did over its seeds; of two scores the smaller one is better.

    They are compared by `steps`, then `missed`, then `badness`.

    Args:
        steps: the median of the steps to the target, infinite if the median trial missed it.
        missed: the share of the seeds that missed it, from 0 to 1.
        badness: the median of the final figure, its sign such that smaller is better; infinite if
            the median trial diverged or failed.

    Raises:
        ValueError: for a number outside these ranges, NaN above all: it has no place in an order.

    >>> Score(120, 0.0, -0.97) < Score(math.inf, 0.667, -0.98) < Score(math.inf, 1.0, -0.99)
    True
    """

    steps: float
    missed: float
    badness: float

    def __post_init__(self) -> None:
        if not (self.steps >= 0 and 0 <= self.missed <= 1 and self.badness > -math.inf):
            raise ValueError(
                f"A score must have steps ≥ 0, missed from 0 to 1, and a number as badness; got {self}."
            )

    def scalar(self, budget_steps: float) -> float:
        """Return the score as one number that keeps its order, for searches that can use no more.

            s / B                       steps s finite, of a budget of B
            1 + (63 m + q) / 128        s = ∞, share of misses m < 1
            3/2 + q / 2                 s = ∞, m = 1

        with the badness b squashed to q = (1 + b / (1 + |b|)) / 2, which is 1 for b = ∞: 2 is for
        those that diverged on every seed. Equal steps give equal numbers.

        >>> Score(150, 0.0, -0.97).scalar(300), Score(math.inf, 1.0, math.inf).scalar(300)
        (0.5, 2.0)
        """
        if math.isfinite(self.steps):
            return min(1.0, self.steps / budget_steps)
        squashed = 1.0
        if math.isfinite(self.badness):
            squashed = (1 + self.badness / (1 + abs(self.badness))) / 2
        if self.missed < 1:
            return 1 + ((_SHARES - 1) * self.missed + squashed) / (2 * _SHARES)
        return 1.5 + squashed / 2


@dataclass(frozen=True)
class Ask:
    """A point that a search wants to know, and how long it is to be trained."""

    point: Point
    epochs: int


class Search(ABC):
    """A search of one entrant's hyperparameters.

    `ask` gives points to be tried, all of which may run at once; `tell` takes their scores. This
    repeats until `ask` gives none. A search is a function of its settings, its seed and what it was
    told, and of nothing else: who tells a new one the same scores is asked for the same points. It
    asks for no point twice at the same length, and for no more than `trials` × `epochs` epochs in
    all.

    Args:
        trials: its budget: how many points at full length, or what costs as much.
        epochs: the full length of a trial.

    Raises:
        TaskError: for a budget of nothing.
    """

    def __init__(self, *, trials: int, epochs: int) -> None:
        for name, given in (("trials", trials), ("epochs", epochs)):
            if given < 1:
                raise TaskError(f"A search needs {name} of at least 1, got {name}={given}.")
        self.trials = trials
        self.epochs = epochs
        self._told: list[tuple[Ask, Score]] = []
        self._open: tuple[Ask, ...] = ()

    @abstractmethod
    def _propose(self) -> tuple[Ask, ...]:
        """Return what to try next, given what was told."""

    @property
    @abstractmethod
    def planned(self) -> int:
        """How many points the whole search will ask for, at whatever length."""

    def ask(self) -> tuple[Ask, ...]:
        """Return the points to be tried next; none when the budget is spent.

        Raises:
            RuntimeError: if the scores of the last points have not been told.
        """
        if self._open:
            raise RuntimeError(
                f"{len(self._open)} points were asked for and not told: tell their scores first."
            )
        self._open = self._propose()
        return self._open

    def tell(self, scores: Sequence[Score]) -> None:
        """Take the scores of the points last asked for, in their order.

        Raises:
            ValueError: unless there is one score for each.
        """
        if len(scores) != len(self._open):
            raise ValueError(
                f"{len(self._open)} points were asked for, and {len(scores)} scores are told."
            )
        self._told += zip(self._open, scores, strict=True)
        self._open = ()

    @property
    def told(self) -> tuple[tuple[Ask, Score], ...]:
        """What was tried and how it did, in the order of asking."""
        return tuple(self._told)

    def best(self) -> Point:
        """Return the point with the best score among those tried at full length; of equals, the one
        with the smallest learning rate.

        Raises:
            RuntimeError: if none was told yet.
        """
        full = [(ask, score) for ask, score in self._told if ask.epochs == self.epochs]
        if not full:
            raise RuntimeError(f"No point was told at the full {self.epochs} epochs yet.")
        return best_first(full)[0].point


def best_first(told: Sequence[tuple[Ask, Score]]) -> list[Ask]:
    """Return the points tried, the best first; of equals, the smallest learning rate, then the one
    asked for first.
    """
    return [ask for ask, _ in sorted(told, key=lambda pair: (pair[1], pair[0].point.lr))]
