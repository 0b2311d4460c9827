"""Learning curves of several seeds as one: the median, and the range around it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Band:
    """The median of some curves with their range, point by point."""

    x: tuple[float, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]


def trials_at_best(
    result: Mapping[str, Any], standing: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Return the trials of an entrant at the learning rate selected for it."""
    return [
        trial
        for trial in result["trials"]
        if trial["entrant"] == standing["entrant"] and trial["lr"] == standing["lr"]
    ]


def band(trials: Sequence[Mapping[str, Any]], axis: str, best_so_far: str | None = None) -> Band:
    """Return the median and the range of the trials' validation metric over `axis`, "steps" or
    "seconds".

    The n-th points of all curves belong together; where the seeds differ in x (seconds do), its
    median is taken. A curve that ended early, because it diverged, counts for as long as it lasted.
    `best_so_far`, "max" or "min", turns each curve into the best value it had shown by then: it
    crosses the target when the trial reached it.

    Example:
        >>> trials = [{"curve": {"steps": [10, 20], "metric": [m, 0.6]}} for m in (0.5, 0.7, 0.6)]
        >>> band(trials, "steps")
        Band(x=(10, 20), low=(0.5, 0.6), middle=(0.6, 0.6), high=(0.7, 0.6))
        >>> band(trials, "steps", best_so_far="max").high
        (0.7, 0.7)
    """
    curves = [_points(trial["curve"], axis, best_so_far) for trial in trials]
    columns: list[tuple[float, float, float, float]] = []
    for index in range(max(map(len, curves), default=0)):
        here = [curve[index] for curve in curves if index < len(curve)]
        xs = [x for x, _ in here]
        values = [value for _, value in here if value is not None]
        if values:
            middle = statistics.median(values)
            columns.append((statistics.median(xs), min(values), middle, max(values)))
    if not columns:
        return Band((), (), (), ())
    x, low, middle_line, high = zip(*columns, strict=True)
    return Band(x, low, middle_line, high)


def _points(
    curve: Mapping[str, Any], axis: str, best_so_far: str | None
) -> list[tuple[float, float | None]]:
    values: list[float | None] = list(curve["metric"])
    if best_so_far is not None:
        better = max if best_so_far == "max" else min
        best: float | None = None
        for index, value in enumerate(values):
            if value is not None:
                best = value if best is None else better(best, value)
            values[index] = best
    return list(zip(curve[axis], values, strict=True))
