"""The learning curves of a race: the validation metric over the training, in the median of the seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.report.data import text
from thalweg.report.data.curves import Band, Spread, band
from thalweg.report.data.reading import Record, judging_trials, names, seconds_a_step
from thalweg.report.parts.axes import log_axis, mark_target
from thalweg.report.parts.section import Figure, Section, table

_AXES = {"steps": "steps", "seconds": "seconds of training", "gradients": "gradient-equivalents"}
_SEEDS_WITH_QUARTILES = 5
_LONG_SCALE = 30.0
"""A loss that falls by more than this is drawn on a logarithmic axis."""


def learning_section(result: Record) -> Section | None:
    """Return the section of the learning curves, None before the first trials that judge."""
    shown = [name for name in names(result) if judging_trials(result, name)]
    if not shown:
        return None
    around = _around(result)
    stage = result["judged_on"]
    seeds = max(len(judging_trials(result, name)) for name in shown)
    of_band = "the middle half of them" if around == "middle half" else "their range"
    told = f": the median of its {stage} seeds, and as a band {of_band}"
    if seeds == 1:
        told = f", on one {stage} seed"
    return Section(
        key="curves",
        title="Learning curves",
        hint=(
            f"Each entrant at its chosen point{told}. Seconds are steps times the seconds a step takes alone."
        ),
        choices=(
            {axis: axis for axis in _axes(result)},
            {"best": "best so far", "measured": "as measured"},
        ),
        figures={
            f"{axis} {how}": learning_curves(result, axis, best_so_far=how == "best")
            for axis in _axes(result)
            for how in ("best", "measured")
        },
        alt=f"Validation {text.spaced(result['metric']['name'])} of each entrant over the training.",
    )


def learning_curves(result: Record, axis: str, *, best_so_far: bool) -> Figure:
    """Return the figure of the validation metric over "steps", "seconds" or "gradients"."""
    metric = result["metric"]
    around = _around(result)
    bands: dict[str, Band] = {}
    for name in names(result):
        column, scale = axis, 1.0
        if axis == "seconds":
            column, scale = "steps", seconds_a_step(result, name) or 0.0
        trials = judging_trials(result, name) if scale else []
        best = metric["direction"] if best_so_far else None
        bands[name] = band(trials, column, best, around, scale)
    bands = {name: curve for name, curve in bands.items() if curve.x}
    traces = [_band(name, curve) for name, curve in bands.items()]
    traces += [_median(name, curve, axis) for name, curve in bands.items()]
    layout = _layout(result, list(bands.values()), axis, best_so_far=best_so_far)
    columns = ["entrant", axis, "median", *_ends(around)]
    rows = [
        (name, *point)
        for name, curve in bands.items()
        for point in zip(curve.x, curve.middle, curve.low, curve.high, strict=True)
    ]
    return {"data": traces, "layout": layout, "table": table(columns, rows)}


def _layout(
    result: Record, bands: Sequence[Band], axis: str, *, best_so_far: bool
) -> dict[str, Any]:
    metric = result["metric"]
    suffix = ", best so far" if best_so_far else ""
    heights = _telling_range(bands, metric["direction"], result["target"])
    vertical: dict[str, Any] = {"range": heights, "tickformat": text.metric_format(metric["name"])}
    if heights is None and _falls_far(bands, metric["direction"]):
        vertical = log_axis([value for curve in bands for value in curve.middle], room=0.05)
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": _AXES[axis]}, **log_axis(_xs_in_sight(bands, heights))},
        "yaxis": {
            "title": {"text": f"validation {text.spaced(metric['name'])}{suffix}"},
            **vertical,
        },
    }
    mark_target(layout, result["target"])
    return layout


def _axes(result: Record) -> list[str]:
    known = any(seconds_a_step(result, name) for name in names(result))
    return ["steps", "seconds", "gradients"] if known else ["steps", "gradients"]


def _around(result: Record) -> Spread:
    seeds = max((len(judging_trials(result, name)) for name in names(result)), default=0)
    return "middle half" if seeds >= _SEEDS_WITH_QUARTILES else "range"


def _ends(around: Spread) -> tuple[str, str]:
    return ("lowest", "highest") if around == "range" else ("lower_quartile", "upper_quartile")


def _median(name: str, curve: Band, axis: str) -> dict[str, Any]:
    unit = "s" if axis == "seconds" else _AXES[axis]
    return {
        "mode": "lines" if len(curve.x) > 1 else "markers",
        "name": name,
        "x": list(curve.x),
        "y": list(curve.middle),
        "meta": {"entrant": name, "role": "line"},
        "line": {"width": 2.2},
        "hovertemplate": f"{name} %{{y}} after %{{x}} {unit}",
    }


def _band(name: str, curve: Band) -> dict[str, Any]:
    return {
        "mode": "lines",
        "name": name,
        "x": [*curve.x, *reversed(curve.x)],
        "y": [*curve.high, *reversed(curve.low)],
        "meta": {"entrant": name, "role": "band"},
        "fill": "toself",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _telling_range(
    bands: Sequence[Band], direction: str, target: Mapping[str, Any] | None
) -> list[float] | None:
    """The part of the metric's axis where the race is decided: from the best value to well before
    the target.

    The first epochs of every curve lie far away from the rest and would press it flat.
    """
    values = sorted(value for curve in bands for value in curve.middle)
    if not values:
        return None
    best = values[-1] if direction == "max" else values[0]
    worst = values[0] if direction == "max" else values[-1]
    if target is None:
        # without a target: the range between the ends of the curves
        ends = [curve.middle[-1] for curve in bands]
        goal = min(ends) if direction == "max" else max(ends)
        if _falls_far(bands, direction):
            return None
    else:
        goal = target["value"]
    reach = 4 * abs(best - goal) or abs(best - worst)
    far = max(worst, goal - reach) if direction == "max" else min(worst, goal + reach)
    ahead = max(best, goal) if direction == "max" else min(best, goal)
    margin = 0.06 * abs(ahead - far) or 0.05 * abs(ahead) or 1.0
    return sorted((ahead + (margin if direction == "max" else -margin), far))


def _falls_far(bands: Sequence[Band], direction: str) -> bool:
    values = [value for curve in bands for value in curve.middle]
    positive = bool(values) and min(values) > 0
    return direction == "min" and positive and max(values) > _LONG_SCALE * min(values)


def _xs_in_sight(bands: Sequence[Band], heights: Sequence[float] | None) -> list[float]:
    """Return every x at which some curve lies in that part of the metric's axis."""
    points = [
        (x, low, high)
        for curve in bands
        for x, low, high in zip(curve.x, curve.low, curve.high, strict=True)
        if x > 0 and math.isfinite(x)
    ]
    if heights is None:
        return [x for x, _, _ in points]
    seen = (x for x, low, high in points if high >= heights[0] and low <= heights[1])
    first = min(seen, default=0)
    return [x for x, _, _ in points if x >= first]
