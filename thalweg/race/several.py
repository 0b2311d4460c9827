"""Races on several tasks together: performance profiles, scores, and pairwise comparisons."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.errors import TaskError
from thalweg.numeric import without_nonfinite
from thalweg.race.result import SCHEMA as OF_RACE
from thalweg.race.result import RaceResult
from thalweg.race.trials.ranking import checked_rank
from thalweg.report.data.reading import reads_result
from thalweg.statistics import (
    pairwise_bounds,
    pairwise_ratios,
    pairwise_wins,
    performance_profiles,
    profile_scores,
    rank_reversals,
    scores_without_a_task,
)
from thalweg.statistics.times import Array

SCHEMA = "thalweg.races/1"

ResultDict = Mapping[str, Any]
"""A race as `RaceResult.to_dict` gives it."""


@reads_result
def sum_up(races: Sequence[RaceResult | ResultDict], by: str | None = None) -> dict[str, Any]:
    """Return the joint results of races on several tasks, as JSON-ready values.

    The keys: schema, races, by, notes, and over the entrants that ran on every task:

        costs       entrants, tasks, table: the median cost to the target of each entrant (rows) on
                    each task (columns), None for a miss
        profiles    factor, share (of each entrant), unsolved (tasks that nobody solved)
        scores      the mean height of each entrant's profile up to four times the best: 1 for the
                    fastest on every task, 0 for one that nowhere comes within four times of the best
        score_ranges  the lowest and the highest of these where any one task is left out; empty for
                    a single task. No confidence interval: tasks are chosen, not drawn
        reversals   where the order of two scores depends on who else ran, in text
        pairwise    entrants, ratio (geometric mean over tasks, a miss at its entrant's own budget,
                    the least it can have taken), bound (what misses make of the ratio: exact, at
                    least, at most or unknown), wins (share of tasks); of rows against columns

    Args:
        races: the results, or what their `to_dict` gave.
        by: the cost, "steps", "seconds" or "gradients"; None: the one that ranks all of them.

    Raises:
        TaskError: for no race, one of another schema, costs that differ, or an unknown one.
    """
    results = [race.to_dict() if isinstance(race, RaceResult) else race for race in races]
    cost = _cost(results, by)
    tasks = _task_names(results)
    medians = [_medians(result, cost) for result in results]
    entrants = [name for name in medians[0] if all(name in median for median in medians)]
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "races": results,
        "by": cost,
        "notes": _notes(results, tasks, medians, entrants),
    }
    costs = np.array([[median[name] for median in medians] for name in entrants], dtype=np.float64)
    budget = [[_budget(result, cost, name) for result in results] for name in entrants]
    values |= _over_tasks(entrants, tasks, costs, budget) if entrants else _nothing(tasks)
    plain: dict[str, Any] = without_nonfinite(values)
    return plain


def _over_tasks(
    entrants: Sequence[str], tasks: Sequence[str], costs: Array, budget: Sequence[Sequence[float]]
) -> dict[str, Any]:
    profiles = performance_profiles(costs)
    return {
        "costs": {"tasks": list(tasks), "entrants": list(entrants), "table": costs.tolist()},
        "profiles": {
            "factor": profiles.factor.tolist(),
            "share": dict(zip(entrants, profiles.share.tolist(), strict=True)),
            "unsolved": profiles.unsolved,
        },
        "scores": dict(zip(entrants, profile_scores(costs).tolist(), strict=True)),
        "score_ranges": _score_ranges(entrants, costs),
        "reversals": [
            {
                "text": str(reversal),
                "first": reversal.first,
                "second": reversal.second,
                "without": list(reversal.without),
                "scores": list(reversal.scores),
                "scores_without": list(reversal.scores_without),
            }
            for reversal in rank_reversals(entrants, costs)
        ],
        "pairwise": {
            "entrants": list(entrants),
            "ratio": pairwise_ratios(costs, budget).tolist(),
            "bound": pairwise_bounds(costs),
            "wins": pairwise_wins(costs).tolist(),
        },
    }


def _score_ranges(entrants: Sequence[str], costs: Array) -> dict[str, list[float]]:
    if costs.shape[1] < 2:
        return {}
    low, high = scores_without_a_task(costs)
    return {name: [float(low[k]), float(high[k])] for k, name in enumerate(entrants)}


def _nothing(tasks: Sequence[str]) -> dict[str, Any]:
    return {
        "costs": {"tasks": list(tasks), "entrants": [], "table": []},
        "profiles": {"factor": [], "share": {}, "unsolved": len(tasks)},
        "scores": {},
        "score_ranges": {},
        "reversals": [],
        "pairwise": {"entrants": [], "ratio": [], "bound": [], "wins": []},
    }


def _cost(races: Sequence[ResultDict], by: str | None) -> str:
    if not races:
        raise TaskError("There are no races to sum up: give one or more.")
    for race in races:
        if race.get("schema") != OF_RACE:
            raise TaskError(
                f"Races must have the schema {OF_RACE!r} to be summed up; got {race.get('schema')!r}. Run "
                "the race again with this version: its finished trials are used again."
            )
    if by is not None:
        return checked_rank(by)
    costs = sorted({str(race["rank_by"]) for race in races})
    if len(costs) > 1:
        raise TaskError(
            f"The races are ranked by different costs, {' and '.join(costs)}: say by which one they "
            "are summed up."
        )
    return costs[0]


def _task_names(races: Sequence[ResultDict]) -> list[str]:
    """The tasks' names, numbered where one was raced on more than once."""
    names = [str(race["task"]) for race in races]
    repeated = Counter(names)
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} ({seen[name]})" if repeated[name] > 1 else name)
    return unique


def _medians(race: ResultDict, cost: str) -> dict[str, float]:
    """The median cost of each entrant, infinite for a miss."""
    return {
        str(standing["entrant"]): math.inf if standing[cost] is None else float(standing[cost])
        for standing in race["standings"]
    }


def _budget(race: ResultDict, cost: str, entrant: str) -> float:
    """The cost of an entrant's longest trial, with which a miss counts.

    Not what the longest of all took: budgets are equal in gradients alone, and of an entrant whose
    steps are cheap nothing is known beyond its own seconds.
    """
    paces = {standing["entrant"]: standing["seconds_a_step"] for standing in race["standings"]}
    pace = paces.get(entrant) if cost == "seconds" else None
    own = [
        trial
        for trial in race["trials"]
        if trial["entrant"] == entrant and trial.get("status", "finished") == "finished"
    ]
    # An entrant that always diverged had the same budget as the others.
    spent = [
        float(trial[cost] if pace is None else trial["steps"] * pace)
        for trial in own or race["trials"]
    ]
    spent.append(_medians(race, cost)[entrant])
    return max((value for value in spent if 0 < value < math.inf), default=1.0)


def _notes(
    races: Sequence[ResultDict],
    tasks: Sequence[str],
    medians: Sequence[Mapping[str, float]],
    entrants: Sequence[str],
) -> list[str]:
    notes = []
    everyone = list(dict.fromkeys(name for median in medians for name in median))
    if left_out := [name for name in everyone if name not in entrants]:
        notes.append(
            "Only entrants that ran on every task are compared over tasks. Left out: "
            f"{', '.join(left_out)}."
        )
    for task, race in zip(tasks, races, strict=True):
        if race.get("target") is None:
            notes.append(f"{task} has no target: it counts as a task that nobody solved.")
        if race.get("judged_on") == "tuning":
            notes.append(f"{task} was stopped before its final: its costs are those of tuning.")
    return notes
