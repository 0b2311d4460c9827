"""Results of tuning: sensitivity to the learning rate, budget curves, and the cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.race.judging.reached import Goal, StepSeconds, common_budget, cost_to_target
from thalweg.race.judging.scores import ComparedBy
from thalweg.race.judging.selection import CostUnit, candidates, score
from thalweg.race.search.base import Score
from thalweg.race.trials.point import Point
from thalweg.race.trials.ranking import RankBy
from thalweg.race.trials.records import TrialRecord, without_nonfinite
from thalweg.statistics import BudgetCurve, Sensitivity, budget_curve, sensitivity

_EVEN = ("grid", "quasi-random")
"""Searches that cover the space evenly; adaptive ones do not, so their points are no sample of it."""

_PARTS = {"tuning": ("tuning", "runoff"), "final": ("final",)}

_Tuned = Mapping[str, Mapping[Point, Sequence[TrialRecord]]]


def tuned_points(
    records: Iterable[TrialRecord], entrants: Sequence[str]
) -> dict[str, dict[Point, list[TrialRecord]]]:
    """Return the points of each entrant among which was chosen, with their tuning trials."""
    given = tuple(records)
    return {
        name: candidates(record for record in given if record.entrant == name) for name in entrants
    }


def sensitivities(
    tuned: _Tuned,
    goal: Goal,
    by: RankBy,
    search: str,
    step_seconds: StepSeconds | None = None,
) -> dict[str, Sensitivity]:
    """Measure how much the median cost of each entrant depends on the learning rate.

    Only where nothing else was searched, the search looked everywhere alike, and one rate at least
    reached the target.
    """
    found = {}
    for name, points in tuned.items():
        costs = _median_costs(points, goal, by, step_seconds)
        if search not in _EVEN or len(points) < 2 or any(point.others for point in points):
            continue
        if not all(math.isinf(cost) for cost in costs):
            records = [record for trials in points.values() for record in trials]
            budget = common_budget(records, by, step_seconds)
            found[name] = sensitivity([point.lr for point in points], costs, budget)
    return found


@dataclass(frozen=True, eq=False)
class TuningCurve:
    """The expected result of tuning with 1, 2, … of the points.

    `curve` is of the median cost to the target, infinite as long as a choice of so many points may
    miss it, which it does with the probability `missed`. Without a target it is of the median final
    figure, and `of` is "final".
    """

    of: ComparedBy
    curve: BudgetCurve
    missed: tuple[float, ...]


def tuning_curves(
    tuned: _Tuned,
    goal: Goal,
    by: RankBy,
    search: str,
    step_seconds: StepSeconds | None = None,
) -> dict[str, TuningCurve]:
    """Return for each entrant what it would have got from fewer points.

    Of k points drawn from those that were tried, the one with the best score is taken, and judged by
    its median on the same tuning seeds; only one point of each entrant has run others. So the curve
    compares budgets, and is not what the final gave: with few seeds it is a little too good. Points
    that an adaptive search chose are no random draw, so it has no curve.
    """
    if search not in _EVEN:
        return {}
    selected_by: CostUnit = "gradients" if by == "gradients" else "steps"
    curves = {}
    for name, points in tuned.items():
        order = _order([score(trials, goal, selected_by) for trials in points.values()])
        costs = _median_costs(points, goal, by, step_seconds)
        results = _final_figures(points, goal) if goal.value is None else costs
        if results:
            missed = budget_curve(np.isinf(costs).astype(float), selected_by=order).expected
            curves[name] = TuningCurve(
                of="final" if goal.value is None else by,
                curve=budget_curve(results, selected_by=order),
                missed=tuple(missed.tolist()),
            )
    return curves


def spent(
    records: Iterable[TrialRecord],
    entrants: Sequence[str],
    seconds_a_step: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Return what each entrant was given, as JSON-ready values: in tuning with its runoff, in the final."""
    given = tuple(records)
    rows = []
    for name in entrants:
        row: dict[str, Any] = {"entrant": name}
        for stage, parts in _PARTS.items():
            trials = [r for r in given if r.entrant == name and r.stage in parts]
            row[stage] = {
                "trials": len(trials),
                "gradients": round(sum(record.gradients for record in trials), 2),
                "seconds": round(sum(record.seconds for record in trials), 6),
            }
        rows.append({**row, "seconds_a_step": seconds_a_step.get(name)})
    return rows


def sensitivity_row(entrant: str, found: Sensitivity) -> dict[str, Any]:
    """Return a sensitivity as JSON-ready values."""
    return {
        "entrant": entrant,
        "best": found.best,
        "cost": found.cost,
        "factor": found.factor,
        "low": found.low,
        "high": found.high,
        "width": found.width,
        "open": list(found.open),
        "area": found.area,
        "edge": found.edge,
    }


def curve_row(entrant: str, tuning: TuningCurve) -> dict[str, Any]:
    """Return a curve as JSON-ready values."""
    curve = tuning.curve
    row: dict[str, Any] = without_nonfinite(
        {
            "entrant": entrant,
            "of": tuning.of,
            "trials": [int(k) for k in curve.trials],
            "expected": curve.expected.tolist(),
            "low": curve.low.tolist(),
            "high": curve.high.tolist(),
            "missed": list(tuning.missed),
            "level": curve.level,
        }
    )
    return row


def _median_costs(
    points: Mapping[Point, Sequence[TrialRecord]],
    goal: Goal,
    by: RankBy,
    step_seconds: StepSeconds | None,
) -> list[float]:
    return [
        float(np.median([cost_to_target(record, goal, by, step_seconds) for record in trials]))
        for trials in points.values()
    ]


def _final_figures(points: Mapping[Point, Sequence[TrialRecord]], goal: Goal) -> list[float]:
    """The median final figures, that of a lost point as bad as the worst; none if all are lost."""
    figures = [goal.median(record.final for record in trials) for trials in points.values()]
    known = [figure for figure in figures if figure is not None]
    worst = max(known, key=goal.badness, default=None)
    return [] if worst is None else [worst if f is None else f for f in figures]


def _order(scores: Sequence[Score]) -> list[int]:
    """The place of each score among the different ones, the best first."""
    places = {value: place for place, value in enumerate(sorted(set(scores)))}
    return [places[value] for value in scores]
