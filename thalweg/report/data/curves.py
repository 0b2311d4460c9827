"""Learning curves of several seeds as one: the median, and a band around it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Spread = Literal["range", "middle half"]
CurvePoint = tuple[float, float | None]


@dataclass(frozen=True)
class Band:
    """The median of some curves, with the range or the middle half of them, point by point."""

    x: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    middle: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def band(
    trials: Sequence[Mapping[str, Any]],
    axis: str,
    best_so_far: str | None = None,
    around: Spread = "range",
    scale: float = 1.0,
) -> Band:
    """Return the median of the trials' validation metric over `axis`, a column of their curves.

    The n-th points of all curves belong together; where the seeds differ in x, its median is taken,
    times `scale`. `around` says what the band holds: all seeds, or those between the quartiles.

    `best_so_far`, "max" or "min", turns each curve into the best value it had shown by then, also
    after its end: then the median crosses the target when the median seed reached it. Without it, a
    curve that ended early, because it diverged, counts for as long as it lasted.

    Example:
        >>> trials = [{"curve": {"steps": [10, 20], "metric": [m, 0.6]}} for m in (0.5, 0.7, 0.6)]
        >>> band(trials, "steps")
        Band(x=(10.0, 20.0), low=(0.5, 0.6), middle=(0.6, 0.6), high=(0.7, 0.6))
        >>> band(trials, "steps", best_so_far="max").high
        (0.7, 0.7)
    """
    curves = [_points(trial["curve"], axis, best_so_far) for trial in trials]
    longest = max(map(len, curves), default=0)
    if best_so_far:
        full = next((curve for curve in curves if len(curve) == longest), [])
        curves = [_held(curve, full) for curve in curves if curve]
    columns: list[tuple[float, float, float, float]] = []
    for index in range(longest):
        here = [curve[index] for curve in curves if index < len(curve)]
        values = sorted(value for _, value in here if value is not None)
        if values:
            low, high = _ends(values, around)
            x = statistics.median(x for x, _ in here) * scale
            columns.append((x, low, statistics.median(values), high))
    if not columns:
        return Band()
    x_line, low_line, middle, high_line = zip(*columns, strict=True)
    return Band(x_line, low_line, middle, high_line)


def _points(curve: Mapping[str, Any], axis: str, best_so_far: str | None) -> list[CurvePoint]:
    values: list[float | None] = list(curve["metric"])
    if best_so_far is not None:
        better = max if best_so_far == "max" else min
        best: float | None = None
        for index, value in enumerate(values):
            if value is not None:
                best = value if best is None else better(best, value)
            values[index] = best
    return list(zip(curve[axis], values, strict=True))


def _held(curve: list[CurvePoint], full: list[CurvePoint]) -> list[CurvePoint]:
    """A curve that ended early, gone on at its last value for as long as the longest."""
    return curve + [(x, curve[-1][1]) for x, _ in full[len(curve) :]]


def _ends(ordered: Sequence[float], around: Spread) -> tuple[float, float]:
    if around == "range" or len(ordered) < 2:
        return ordered[0], ordered[-1]
    first, _, third = statistics.quantiles(ordered, n=4, method="inclusive")
    return first, third
