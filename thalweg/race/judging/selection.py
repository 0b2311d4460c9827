"""Selection of each entrant's best point, by the trials of tuning alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

from thalweg.race.judging.reached import Goal, cost_to_target
from thalweg.race.judging.summary import point_of
from thalweg.race.search.base import Score
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import TrialRecord

CostUnit = Literal["steps", "gradients"]
"""What points are selected by. Not seconds: trials that train together have none of their own."""

GridEdge = Literal["lower", "upper", "single"]


def score(records: Sequence[TrialRecord], goal: Goal, by: CostUnit = "steps") -> Score:
    """Return how well one point did, over its tuning seeds.

    The median cost to the target, infinite where the median trial missed it; then the share of
    seeds that missed; then the median final figure, for which a diverged trial is the worst. Without
    a target all miss, so that the final figure decides.

    Raises:
        ValueError: if there is no record.
    """
    if not records:
        raise ValueError("a point without any trial has no score")
    costs = [cost_to_target(record, goal, by) for record in records]
    return Score(
        steps=statistics.median(costs),
        missed=sum(cost == float("inf") for cost in costs) / len(costs),
        badness=statistics.median(goal.badness(record.final) for record in records),
    )


def candidates(records: Iterable[TrialRecord]) -> dict[Point, list[TrialRecord]]:
    """Return the points of one entrant among which is chosen, each with its tuning trials.

    Those that ran the longest, and of these, where a race was interrupted, those with the most
    seeds: a point that was lucky on its only seed is not compared with one that ran three.
    """
    tuning = [record for record in records if record.stage == "tuning"]
    longest = max((record.epochs for record in tuning), default=0)
    points: dict[Point, list[TrialRecord]] = {}
    for record in tuning:
        if record.epochs == longest:
            points.setdefault(point_of(record), []).append(record)
    most = max((len(trials) for trials in points.values()), default=0)
    return {point: trials for point, trials in points.items() if len(trials) == most}


def select(records: Iterable[TrialRecord], goal: Goal, by: CostUnit = "steps") -> Point | None:
    """Return the point with the best score of one entrant, None if it has no tuning trial.

    Of points that are equally good, it is the one with the smallest learning rate, then the first.
    """
    points = candidates(records)
    return min(points, key=lambda p: (score(points[p], goal, by), p.lr), default=None)


def edge_of_grid(lr: float, tried: Iterable[float]) -> GridEdge | None:
    """Say whether a learning rate is the last one tried on a side, where a better may lie beyond.

    >>> edge_of_grid(0.1, [0.001, 0.01, 0.1])
    'upper'
    >>> edge_of_grid(0.01, [0.001, 0.01, 0.1]) is None
    True
    >>> edge_of_grid(0.1, [0.1])
    'single'
    """
    rates = set(tried)
    if len(rates) <= 1:
        return "single"
    if lr <= min(rates):
        return "lower"
    return "upper" if lr >= max(rates) else None
