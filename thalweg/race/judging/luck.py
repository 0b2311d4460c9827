"""How lucky the choice of points may have been: what every claim about an optimizer must allow for.

The final judges points, and the question is about optimizers. One whose tuning chose the second best of its
points looks slower than it is. So each entrant's interval is wider, on the side where it is better, by what
the choice may have lost: with σ the standard error of the difference of two points over the seeds that
chose, and gₖ the gaps of the points that were close to the chosen one,

    slack² = Σₖ E[max(σZ − gₖ, 0)²] = σ² Σₖ ((1 + uₖ²) Q(uₖ) − uₖ φ(uₖ)),    uₖ = gₖ / σ

for a standard normal Z with the density φ and the upper tail Q. It is 0 where one point is clearly the best.
It is the size of a typical loss, no bound: `benchmarks/claims.py` measures how often claims are wrong with
it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from thalweg.race.judging.reached import Goal
from thalweg.race.judging.scores import ComparedBy
from thalweg.race.judging.selection import (
    CostUnit,
    candidates,
    close_points,
    ran_again,
    rows_of,
    standard_error,
)
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import TrialRecord


def slacks(
    records: Iterable[TrialRecord],
    chosen: Mapping[str, Point],
    goal: Goal,
    by: CostUnit,
    compared_by: ComparedBy,
) -> dict[str, float]:
    """Return for each entrant how much smaller the mean of its scores may be at another of its points.

    Of logarithms of costs it is the logarithm of a ratio. It is 0 for an entrant without other points,
    and for one that was tuned on a single seed, of which nobody can say how lucky it was.

    Args:
        records: the trials of the race; those of tuning and of the runoff count.
        chosen: the point of each entrant.
        goal: the figure and its target.
        by: the cost by which points were chosen.
        compared_by: what entrants are compared by.
    """
    of_entrant: dict[str, list[TrialRecord]] = {name: [] for name in chosen}
    for record in records:
        if record.entrant in of_entrant and record.stage in ("tuning", "runoff"):
            of_entrant[record.entrant].append(record)
    # seconds are steps times what a step takes, and so have the same ratios
    unit: ComparedBy = "final" if compared_by == "final" else by
    return {
        name: _slack(_close(own, goal, by), chosen[name], goal, unit)
        for name, own in of_entrant.items()
    }


def _close(
    records: Sequence[TrialRecord], goal: Goal, by: CostUnit
) -> dict[Point, list[TrialRecord]]:
    """The points among which it was hard to choose, with the trials that chose."""
    if again := ran_again(records):
        return again
    trials = candidates(records)
    return {point: trials[point] for point in close_points(records, goal, by)}


def _slack(
    points: Mapping[Point, Sequence[TrialRecord]], chosen: Point, goal: Goal, by: ComparedBy
) -> float:
    if len(points) < 2 or chosen not in points:
        return 0.0
    rows = rows_of(points, goal, by)
    gaps = np.array([row - rows[chosen] for point, row in rows.items() if point != chosen])
    error = standard_error(gaps)
    if not 0 < error < math.inf:
        return 0.0
    return error * math.sqrt(sum(_lost(float(gap) / error) for gap in gaps.mean(axis=1)))


def _lost(u: float) -> float:
    """E[max(Z − u, 0)²]."""
    density = math.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    return max(0.0, (1 + u**2) * math.erfc(u / math.sqrt(2)) / 2 - u * density)
