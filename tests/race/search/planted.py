"""Scores with a known best point, and a race without training: each ask is told at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.entrants.space import Space
from thalweg.race.search import Ask, Score, Search
from thalweg.race.trials.point import Point

Scoring = Callable[[Ask], Score]

RATES = (0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0)


def entrant(
    lrs: Sequence[float] = RATES, search: Mapping[str, Space] | None = None, name: str = "sgd"
) -> Entrant:
    return Entrant(name, torch.optim.SGD, lrs=tuple(lrs), search=search or {})


def missed(badness: float) -> Score:
    """The score of a point that reached the target on no seed."""
    return Score(math.inf, 1.0, badness)


def bowl(optimum: float, *, misses: bool = False) -> Scoring:
    """Steps to the target, or with `misses` the badness alone, quadratic in the logarithm of the
    rate.
    """

    def score(ask: Ask) -> Score:
        distance = math.log10(ask.point.lr / optimum) ** 2
        return missed(distance) if misses else Score(100 + distance, 0.0, 0.0)

    return score


def conduct(search: Search, scoring: Scoring) -> list[tuple[Ask, ...]]:
    """Ask and tell to the end; return what was asked, batch by batch."""
    asked = []
    while asks := search.ask():
        search.tell([scoring(ask) for ask in asks])
        asked.append(asks)
    return asked


def points(asked: list[tuple[Ask, ...]]) -> list[Point]:
    return [ask.point for asks in asked for ask in asks]


def epochs(asked: list[tuple[Ask, ...]]) -> int:
    return sum(ask.epochs for asks in asked for ask in asks)
