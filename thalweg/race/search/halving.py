"""Successive halving: many points for a short while, the best of them for longer."""

from __future__ import annotations

import itertools

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.search.base import Ask, Search, best_first
from thalweg.race.search.domain import Domain
from thalweg.race.search.halton import stream_seed
from thalweg.race.search.quasi_random import unseen

ETA = 3
"""One point in so many is promoted, to so many times the epochs."""

RUNGS = 3
"""Rungs at most: a point is judged after no less than a ninth of its training. What leads after one
epoch is a fast start, and says little about the end.
"""


class HalvingSearch(Search):
    """Try many quasi-random points at a fraction of the epochs, and promote the best third of them,
    rung by rung, to three times the epochs, until the last few run at full length.

    Each rung trains from scratch, so that a schedule fits its length, and its epochs count in full:
    the whole search spends at most `trials` × `epochs`, as every other one does. The rungs are
    those of `rungs`; only points of the last one can be the best.

    Example:
        >>> from thalweg.race.entrants.known import find_entrant
        >>> search = HalvingSearch(find_entrant("adam"), trials=9, epochs=30)
        >>> len(search.ask()), search.planned
        (29, 41)

    Sources: K. Jamieson and A. Talwalkar, Non-stochastic best arm identification and hyperparameter
    optimization, AISTATS 2016; L. Li et al., Hyperband, JMLR 2018 (one bracket of it).
    """

    def __init__(self, entrant: Entrant, *, trials: int, epochs: int, seed: int = 0) -> None:
        super().__init__(trials=trials, epochs=epochs)
        self._rungs = rungs(trials, epochs)
        most, shortest = self._rungs[0]
        drawn = unseen(Domain.of(entrant), stream_seed(seed, entrant.name), shortest)
        self._first = tuple(ask for _, ask in itertools.islice(drawn, most))

    @property
    def planned(self) -> int:
        """How many points the whole search will ask for, a promoted one again in each rung."""
        return sum(min(points, len(self._first)) for points, _ in self._rungs)

    def _propose(self) -> tuple[Ask, ...]:
        if not self._told:
            return self._first
        below = self._told[-1][0].epochs
        rung = 1 + [epochs for _, epochs in self._rungs].index(below)
        if rung == len(self._rungs):
            return ()
        points, epochs = self._rungs[rung]
        field = best_first([(ask, score) for ask, score in self._told if ask.epochs == below])
        return tuple(Ask(ask.point, epochs) for ask in field[:points])


def rungs(trials: int, epochs: int) -> tuple[tuple[int, int], ...]:
    """Return the rungs of a halving as pairs (points, epochs), the shortest first.

        r_i = R / η^(s − i),   n_(i+1) = ⌊n_i / η⌋,   Σ n_i r_i ≤ trials × R,   n_s ≥ 1

    with η = 3, at most three rungs, and the greatest n_0 that the budget allows. Where the budget
    or the epochs are too few for a rung, there are fewer; with one rung every point runs at full
    length.

    >>> rungs(9, 30), rungs(2, 30), rungs(9, 1)
    (((29, 3), (9, 10), (3, 30)), ((3, 10), (1, 30)), ((9, 1),))
    """
    for promotions in range(RUNGS - 1, 0, -1):
        if epochs < ETA**promotions:
            continue
        lengths = [round(epochs / ETA**left) for left in range(promotions, -1, -1)]
        points = _most_points(lengths, trials * epochs)
        if points >= ETA**promotions:
            return tuple(zip(_fields(points, promotions), lengths, strict=True))
    return ((trials, epochs),)


def _most_points(lengths: list[int], budget: int) -> int:
    def cost(points: int) -> int:
        fields = _fields(points, len(lengths) - 1)
        return sum(field * length for field, length in zip(fields, lengths, strict=True))

    points = 0
    while cost(points + 1) <= budget:
        points += 1
    return points


def _fields(points: int, promotions: int) -> list[int]:
    return [points // ETA**rung for rung in range(promotions + 1)]
