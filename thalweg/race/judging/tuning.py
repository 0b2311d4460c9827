"""Results of tuning: sensitivity to the learning rate, budget curves, and the cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.numeric import without_nonfinite
from thalweg.race.judging.reached import Goal, StepSeconds, common_budget, cost_to_target
from thalweg.race.judging.scores import ComparedBy
from thalweg.race.judging.selection import CostUnit, candidates, score
from thalweg.race.search.base import Score
from thalweg.race.trials.point import Point
from thalweg.race.trials.ranking import RankBy
from thalweg.race.trials.records import TrialRecord
from thalweg.statistics import (
    BudgetCurve,
    Interval,
    Sensitivity,
    SharedError,
    budget_curve,
    sensitivity,
    width_interval,
)

_EVEN = ("grid", "quasi-random")
"""Searches that cover the space evenly; adaptive ones do not, so their points are not a sample of it."""

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
) -> dict[str, RateSensitivity]:
    """Measure how much the median cost of each entrant depends on the learning rate.

    Only where nothing else was searched, the search looked everywhere alike, and one rate at least
    reached the target. Its interval is of seeds that ran every rate.
    """
    found = {}
    for name, points in tuned.items():
        costs = _median_costs(points, goal, by, step_seconds)
        if search not in _EVEN or len(points) < 2 or any(point.others for point in points):
            continue
        if not all(math.isinf(cost) for cost in costs):
            records = [record for trials in points.values() for record in trials]
            budget = common_budget(records, by, step_seconds)
            rates = [point.lr for point in points]
            each = _costs(points, goal, by, step_seconds)
            found[name] = RateSensitivity(
                sensitivity(rates, costs, budget), width_interval(rates, each)
            )
    return found


@dataclass(frozen=True)
class RateSensitivity:
    """The sensitivity of an entrant to the learning rate, and the interval of its width, if there is one."""

    found: Sensitivity
    width: Interval | None


@dataclass(frozen=True, eq=False)
class TuningCurve:
    """The expected result of tuning with 1, 2, … of the points.

    `curve` is of the median cost to the target, infinite as long as a choice of so many points may
    miss it, which it does with the probability `curve.missed`. Without a target it is of the median final
    figure, and `of` is "final". `held_out` says whether it was judged on seeds that did not choose.
    """

    of: ComparedBy
    curve: BudgetCurve
    held_out: bool


def tuning_curves(
    tuned: _Tuned,
    goal: Goal,
    by: RankBy,
    search: str,
    step_seconds: StepSeconds | None = None,
    *,
    grids: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, TuningCurve]:
    """Return for each entrant what it would have got from fewer points.

    Of k points drawn from those that were tried, the one with the best score is taken on all tuning seeds
    but one, and judged on that one, each in its turn: judged on the seeds that chose, a curve is too good,
    by 7 to 22 % with three of them. With a single seed there is no other. A grid places its last points by
    the results of the first: those are not a random draw, and are added one by one to the whole of the
    others. Of an adaptive search all points are such, so it has no curve.
    """
    if search not in _EVEN:
        return {}
    selected_by: CostUnit = "gradients" if by == "gradients" else "steps"
    curves = {}
    for name, points in tuned.items():
        ordered, drawn = _drawn_first(points, (grids or {}).get(name))
        trials = list(ordered.values())
        results = (
            _final_figures(trials, goal)
            if goal.value is None
            else _costs(ordered, goal, by, step_seconds)
        )
        if not results:
            continue
        folds = range(len(results))
        chosen_by = [
            _order([score(_others(each, fold), goal, selected_by) for each in trials])
            for fold in folds
        ]
        curves[name] = TuningCurve(
            of="final" if goal.value is None else by,
            curve=budget_curve(results, selected_by=chosen_by, drawn=drawn),
            held_out=len(results) > 1,
        )
    return curves


def _drawn_first(
    points: Mapping[Point, Sequence[TrialRecord]], grid: Sequence[float] | None
) -> tuple[dict[Point, list[TrialRecord]], int]:
    """The points with those first that count as drawn, by their rates, and how many these are."""
    by_seed = {point: _by_seed(trials) for point, trials in points.items()}
    begun = sorted((p for p in by_seed if grid is None or p.lr in grid), key=lambda p: p.lr)
    if not begun:
        begun = list(by_seed)
    return {p: by_seed[p] for p in (*begun, *by_seed)}, len(begun)


def _others(trials: Sequence[TrialRecord], fold: int) -> Sequence[TrialRecord]:
    """The trials without that of one seed; all of them, where there is no other."""
    return [record for place, record in enumerate(trials) if place != fold] or trials


def spent(
    records: Iterable[TrialRecord],
    entrants: Sequence[str],
    seconds_a_step: Mapping[str, float],
    errors: Mapping[str, SharedError] | None = None,
) -> list[dict[str, Any]]:
    """Return what each entrant was given, as JSON-ready values: in tuning with its runoff, in the final.

    `seconds_spread` is how far the seconds of a step lie apart from turn to turn, as a share of them; None
    where that is not known.
    """
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
        error = (errors or {}).get(name)
        row["seconds_a_step"] = seconds_a_step.get(name)
        rows.append({**row, "seconds_spread": None if error is None else error.spread})
    return rows


def sensitivity_row(entrant: str, measured: RateSensitivity) -> dict[str, Any]:
    """Return a sensitivity as JSON-ready values; the ends of the width's interval are None without one."""
    found, interval = measured.found, measured.width
    return {
        "entrant": entrant,
        "best": found.best,
        "cost": found.cost,
        "factor": found.factor,
        "low": found.low,
        "high": found.high,
        "width": found.width,
        "width_low": None if interval is None else interval.low,
        "width_high": None if interval is None else interval.high,
        "width_level": None if interval is None else interval.level,
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
            "missed": curve.missed.tolist(),
            "level": curve.level,
            "held_out": tuning.held_out,
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


def _costs(
    points: Mapping[Point, Sequence[TrialRecord]],
    goal: Goal,
    by: RankBy,
    step_seconds: StepSeconds | None,
) -> list[list[float]]:
    """The costs of all points (columns) with each seed (rows)."""
    of_point = [
        [cost_to_target(record, goal, by, step_seconds) for record in _by_seed(trials)]
        for trials in points.values()
    ]
    return [list(row) for row in zip(*of_point, strict=True)]


def _final_figures(points: Sequence[Sequence[TrialRecord]], goal: Goal) -> list[list[float]]:
    """The final figures of all points (columns) with each seed (rows), that of a lost trial as bad as the
    worst; none if all are lost.
    """
    known = [r.final for trials in points for r in trials if r.final is not None]
    worst = max(known, key=goal.badness, default=None)
    if worst is None:
        return []
    rows = [[worst if r.final is None else r.final for r in trials] for trials in points]
    return [list(row) for row in zip(*rows, strict=True)]


def _by_seed(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials in the order of their seeds, so that a seed has the same place with each point."""
    return sorted(trials, key=lambda record: record.seed)


def _order(scores: Sequence[Score]) -> list[int]:
    """The place of each score among the different ones, the best first."""
    places = {value: place for place, value in enumerate(sorted(set(scores)))}
    return [places[value] for value in scores]
