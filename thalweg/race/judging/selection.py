"""Selection of each entrant's best point, by the trials of tuning and of the runoff alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from thalweg.race.judging.reached import Goal, cost_to_target, first_reached
from thalweg.race.judging.scores import ComparedBy, scores_of
from thalweg.race.judging.summary import point_of
from thalweg.race.search.base import Score
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import TrialRecord
from thalweg.statistics.times import Array

CostUnit = Literal["steps", "gradients"]
"""What points are selected by. Not seconds: trials that train together have none of their own."""

GridEdge = Literal["lower", "upper", "single"]

_MOST_CLOSE = 3
"""The most points of an entrant that run again: of four, the fourth is hardly ever the best."""
_CLOSE = 2.0
"""How many standard errors a point may lie behind the best one and still be close to it."""


def score(records: Sequence[TrialRecord], goal: Goal, by: CostUnit = "steps") -> Score:
    """Return how well one point did, over its tuning seeds.

    The median cost to the target, infinite where the median trial missed it; then the share of
    seeds that missed; then the median final figure, for which a diverged trial is the worst. Without
    a target all miss, so that the final figure decides.

    Raises:
        ValueError: if there is no record.
    """
    if not records:
        raise ValueError("A point without any trial has no score.")
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
    """Return the best point of one entrant, None if it has no tuning trial.

    If points of it were close and ran again, it is the one of these with the best mean of scores (those
    by which entrants are compared) over all its seeds, of tuning and of the runoff; else the one with
    the best score of tuning. Of points that are equally good, it is the one with the smallest learning
    rate, then the first.
    """
    given = tuple(records)
    if again := ran_again(given):
        means = {
            point: row.mean()
            for point, row in rows_of(again, goal, _decides(again, goal, by)).items()
        }
        return min(again, key=lambda p: (round(float(means[p]), 12), p.lr))
    points = candidates(given)
    return min(points, key=lambda p: (score(points[p], goal, by), p.lr), default=None)


def close_points(
    records: Iterable[TrialRecord], goal: Goal, by: CostUnit = "steps"
) -> tuple[Point, ...]:
    """Return the points of one entrant that tuning left close, the best first; none if one is clear.

    They are up to three, of which the means of scores (those by which entrants are compared) lie within
    two standard errors of the best one; and the one that the score of tuning would choose. The standard
    error is that of a mean of paired differences, pooled over these points; a single seed gives none,
    and leaves all close.
    """
    given = tuple(records)
    found = candidates(given)
    points = {
        point: trials
        for point, trials in found.items()
        if any(record.status == "finished" for record in trials)
    }
    chosen = select(given, goal, by)
    if len(points) < 2 or chosen is None:
        return ()
    rows = rows_of(points, goal, _decides(points, goal, by))
    best, *others = sorted(points, key=lambda p: (round(float(rows[p].mean()), 12), p.lr))
    others = others[: _MOST_CLOSE - 1]
    gaps = np.array([rows[point] - rows[best] for point in others])
    near = _CLOSE * standard_error(gaps) + 1e-12
    close = [point for point, gap in zip(others, gaps, strict=True) if gap.mean() <= near]
    named = tuple(dict.fromkeys((best, *close, chosen)))
    return named if len(named) > 1 else ()


def standard_error(gaps: Array) -> float:
    """Return that of the mean of a row of differences, pooled over the rows; infinity of one seed."""
    count, seeds = gaps.shape
    if seeds < 2:
        return float("inf")
    squares = float(((gaps - gaps.mean(axis=1, keepdims=True)) ** 2).sum())
    return float(np.sqrt(squares / (count * (seeds - 1) * seeds)))


def ran_again(records: Sequence[TrialRecord]) -> dict[Point, list[TrialRecord]]:
    """Return the points that the runoff ran, each with its trials of tuning and of the runoff.

    Of a runoff that was interrupted, those with the most seeds.
    """
    again: dict[Point, list[TrialRecord]] = {}
    for record in records:
        if record.stage == "runoff":
            again.setdefault(point_of(record), []).append(record)
    most = max((len(trials) for trials in again.values()), default=0)
    return {
        point: [*trials, *again[point]]
        for point, trials in candidates(records).items()
        if len(again.get(point, ())) == most > 0
    }


def rows_of(
    points: Mapping[Point, Sequence[TrialRecord]], goal: Goal, by: ComparedBy
) -> dict[Point, Array]:
    """Return the scores of points, one for each trial, in the order of their seeds."""
    ordered = [sorted(trials, key=lambda record: record.seed) for trials in points.values()]
    numbered = dict(zip(map(str, range(len(ordered))), ordered, strict=True))
    return dict(zip(points, scores_of(numbered, goal, by).values(), strict=True))


def _decides(points: Mapping[Point, Sequence[TrialRecord]], goal: Goal, by: CostUnit) -> ComparedBy:
    """The cost; or the final figure, where no point reached the target."""
    everything = (record for trials in points.values() for record in trials)
    return by if any(first_reached(record, goal) for record in everything) else "final"


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
