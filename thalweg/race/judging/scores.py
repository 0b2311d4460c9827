"""What entrants are ordered and compared by: one score for each entrant and seed, smaller is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from thalweg.race.judging.reached import Goal, StepSeconds, common_budget, cost_to_target
from thalweg.race.trials.records import TrialRecord
from thalweg.statistics import restricted
from thalweg.statistics.times import Array

ComparedBy = Literal["steps", "seconds", "gradients", "final"]
Trials = Mapping[str, Sequence[TrialRecord]]
"""The trials of each entrant, on the same seeds in the same order."""

TIMING = 0.05
"""How much of a ratio of seconds may be the clock's: seconds a step are measured once for all seeds,
so that no test over seeds can see their error.
"""


def scores_of(
    trials: Trials, goal: Goal, compared_by: ComparedBy, step_seconds: StepSeconds | None = None
) -> dict[str, Array]:
    """Return the logarithms of costs to the target, a miss at the budget; or, of "final", the figures.

    Figures have the sign by which smaller is better. A trial without one, which diverged or failed,
    counts with the worst that any trial ended with, the least that can be held against it.
    """
    if compared_by == "final":
        return _badness(trials, goal)
    budget = common_budget(
        (record for row in trials.values() for record in row), compared_by, step_seconds
    )
    return {
        name: np.log(
            restricted([cost_to_target(r, goal, compared_by, step_seconds) for r in row], budget)
        )
        for name, row in trials.items()
    }


def tolerance_of(compared_by: ComparedBy) -> float:
    """Return up to which ratio above 1, less 1, two entrants count as equal."""
    return TIMING if compared_by == "seconds" else 0.0


def score_tolerance(compared_by: ComparedBy) -> float:
    """Return up to which difference of scores two entrants count as equal."""
    return math.log1p(tolerance_of(compared_by))


def _badness(trials: Trials, goal: Goal) -> dict[str, Array]:
    finals = [record.final for row in trials.values() for record in row]
    worst = max((goal.badness(final) for final in finals if final is not None), default=0.0)
    return {
        name: np.array([min(goal.badness(record.final), worst) for record in row])
        for name, row in trials.items()
    }
