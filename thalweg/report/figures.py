"""The figures of a race as plain Plotly descriptions: traces and axes, without colours.

A trace names its entrant and its role in `meta`; the page gives it the entrant's colour, in the
light or in the dark scheme, and switches it on and off with its entrant. Learning curves come by
step and by second, the sensitivity by steps to the target and by final metric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from thalweg.report import text
from thalweg.report.curves import Band, band, trials_at_best

Figure = dict[str, Any]


def race_figures(result: Mapping[str, Any]) -> dict[str, dict[str, Figure]]:
    """Return every figure of a race: `figures[chart][view]`."""
    return {
        "curves": {
            "steps": learning_curves(result, "steps", best_so_far=True),
            "seconds": learning_curves(result, "seconds", best_so_far=True),
            "measured": learning_curves(result, "steps", best_so_far=False),
        },
        "sensitivity": {
            "target": sensitivity_of_target(result),
            "final": sensitivity_of_final(result),
        },
    }


def learning_curves(result: Mapping[str, Any], axis: str, *, best_so_far: bool) -> Figure:
    """Validation metric against steps or seconds: the median of the seeds, and their range as a
    band.
    """
    metric = result["metric"]
    envelope = metric["direction"] if best_so_far else None
    bands = {
        standing["entrant"]: band(trials_at_best(result, standing), axis, envelope)
        for standing in result["standings"]
    }
    traces: list[dict[str, Any]] = []
    traces.extend(_range(name, curve) for name, curve in bands.items() if curve.x)
    traces.extend(_median(name, curve, axis) for name, curve in bands.items() if curve.x)
    suffix = ", best so far" if best_so_far else ""
    heights = _telling_range(list(bands.values()), metric["direction"], result["target"])
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": "steps" if axis == "steps" else "seconds of training"},
            **_log_axis(_xs_in_sight(list(bands.values()), heights)),
        },
        "yaxis": {
            "title": {"text": f"validation {_spaced(metric['name'])}{suffix}"},
            "range": heights,
            "tickformat": _tick_format(metric["name"]),
        },
    }
    _mark_target(layout, result["target"])
    return {"data": traces, "layout": layout}


def sensitivity_of_target(result: Mapping[str, Any]) -> Figure:
    """Median steps to the target against the learning rate; the misses of each entrant stand in a
    row above.
    """
    points = result["sensitivity"]
    finite = [point["steps"] for point in points if point["steps"] is not None]
    low, high = min(finite, default=1), max(finite, default=10)
    room = max(math.log10(high / low), 0.5)
    names = [entrant["name"] for entrant in result["entrants"]]
    traces = []
    for index, name in enumerate(names):
        own = [point for point in points if point["entrant"] == name]
        words = [
            f"{text.count(p['steps'])} steps, {p['reached']} of {p['trials']} reached" for p in own
        ]
        traces.append(_rates(result, name, own, [point["steps"] for point in own], words))
        missed = [point["lr"] for point in own if point["steps"] is None]
        row = high * 10 ** (room * (0.15 + 0.3 * (index + 0.5) / len(names)))
        traces.append(_misses(name, missed, row))
    axis = _log_axis(finite or [1, 10])
    layout: dict[str, Any] = {
        "xaxis": _rate_axis(points),
        "yaxis": {
            **axis,
            "title": {"text": "steps to target"},
            "range": [math.log10(low) - 0.12 * room, math.log10(high) + 0.48 * room],
            "tickvals": [*axis["tickvals"], high * 10 ** (room * 0.3)],
            "ticktext": [*axis["ticktext"], "missed"],
        },
    }
    return {"data": traces, "layout": layout}


def sensitivity_of_final(result: Mapping[str, Any]) -> Figure:
    """Median final metric against the learning rate; where the median trial diverged there is no
    point.
    """
    metric = result["metric"]["name"]
    traces = []
    for entrant in result["entrants"]:
        own = [p for p in result["sensitivity"] if p["entrant"] == entrant["name"]]
        words = [text.metric_value(p["final"], metric) for p in own]
        heights = [p["final"] for p in own]
        traces.append(_rates(result, entrant["name"], own, heights, words))
    layout: dict[str, Any] = {
        "xaxis": _rate_axis(result["sensitivity"]),
        "yaxis": {
            "title": {"text": f"final validation {_spaced(metric)}"},
            "tickformat": _tick_format(metric),
        },
    }
    _mark_target(layout, result["target"])
    return {"data": traces, "layout": layout}


def _median(name: str, curve: Band, axis: str) -> dict[str, Any]:
    unit = "steps" if axis == "steps" else "s"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(curve.x),
        "y": list(curve.middle),
        "meta": {"entrant": name, "role": "line"},
        "line": {"width": 2.2},
        "hovertemplate": f"<b>{escape(name)}</b> %{{y}} after %{{x:.4~g}} {unit}<extra></extra>",
    }


def _range(name: str, curve: Band) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [*curve.x, *reversed(curve.x)],
        "y": [*curve.high, *reversed(curve.low)],
        "meta": {"entrant": name, "role": "band"},
        "fill": "toself",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _rates(
    result: Mapping[str, Any],
    name: str,
    points: Sequence[Mapping[str, Any]],
    heights: Sequence[float | None],
    words: Sequence[str],
) -> dict[str, Any]:
    """One entrant's points over its learning rates; the selected one is large, a triangle on the
    grid's edge.
    """
    standing = next((s for s in result["standings"] if s["entrant"] == name), None)
    chosen = [standing is not None and point["lr"] == standing["lr"] for point in points]
    edge = standing["edge"] if standing else None
    symbol = {"lower": "triangle-left", "upper": "triangle-right"}.get(edge or "", "circle")
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [point["lr"] for point in points],
        "y": list(heights),
        "text": list(words),
        "meta": {"entrant": name, "role": "points"},
        "line": {"width": 1.8},
        "marker": {
            "size": [14 if best else 6 for best in chosen],
            "symbol": [symbol if best else "circle" for best in chosen],
            "line": {"width": 0},
        },
        "hovertemplate": f"<b>{escape(name)}</b> at %{{x:.4~g}}: %{{text}}<extra></extra>",
    }


def _misses(name: str, rates: Sequence[float], height: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(rates),
        "y": [height] * len(rates),
        "meta": {"entrant": name, "role": "misses"},
        "line": {"width": 0},
        "marker": {"size": 5, "symbol": "x-thin", "line": {"width": 1.3}},
        "hovertemplate": f"<b>{escape(name)}</b> at %{{x:.4~g}}: missed<extra></extra>",
    }


def _mark_target(layout: dict[str, Any], target: Mapping[str, Any] | None) -> None:
    """Draw the target, where there is one, as a dotted line over the whole width."""
    if target is None:
        return
    layout["shapes"] = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": target["value"],
            "y1": target["value"],
            "layer": "below",
            "line": {"width": 1.2, "dash": "dot"},
        }
    ]
    layout["annotations"] = [
        {
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "xshift": 6,
            "y": target["value"],
            "yanchor": "bottom",
            "text": "target",
            "showarrow": False,
        }
    ]


def _telling_range(
    bands: Sequence[Band], direction: str, target: Mapping[str, Any] | None
) -> list[float] | None:
    """The part of the metric's axis where the race is decided: from the best value to well before
    the target.

    The first epochs of every curve lie far away from the rest and would press it flat.
    """
    values = sorted(value for curve in bands for value in curve.middle)
    if not values or target is None:
        return None
    best = values[-1] if direction == "max" else values[0]
    worst = values[0] if direction == "max" else values[-1]
    reach = 4 * abs(best - target["value"]) or abs(best - worst)
    far = (
        max(worst, target["value"] - reach)
        if direction == "max"
        else min(worst, target["value"] + reach)
    )
    margin = 0.04 * abs(best - far)
    return sorted((best + math.copysign(margin, best - far), far))


def _xs_in_sight(bands: Sequence[Band], heights: Sequence[float] | None) -> list[float]:
    """Every x from which some curve is seen in that part of the metric's axis."""
    points = [
        (x, low, high)
        for curve in bands
        for x, low, high in zip(curve.x, curve.low, curve.high, strict=True)
    ]
    if heights is None:
        return [x for x, _, _ in points]
    first = min(
        (x for x, low, high in points if high >= heights[0] and low <= heights[1]), default=0
    )
    return [x for x, _, _ in points if x >= first]


def _rate_axis(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rates = [point["lr"] for point in points] or [1.0]
    low, high = min(rates), max(rates)
    decades = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    return {
        "title": {"text": "learning rate"},
        "type": "log",
        "range": [math.log10(low) - 0.15, math.log10(high) + 0.15],
        "tickvals": [10.0**decade for decade in decades],
        "ticktext": [f"{10.0**decade:g}" for decade in decades],
    }


def _log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis over positive values, with ticks at 1, 2 and 5 in each decade."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive), max(positive)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    ticks = [tick for tick in ticks if low / 1.05 <= tick <= high * 1.05]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:,g}" for tick in ticks],
    }


def _tick_format(metric: str) -> str:
    return ".1~%" if metric in ("accuracy", "error_rate") else ".4~g"


def _spaced(name: str) -> str:
    return name.replace("_", " ")
