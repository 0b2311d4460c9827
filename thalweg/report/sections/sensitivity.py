"""How much each entrant depends on its learning rate: the tuning trials, and the region that is good
enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.report.data import text
from thalweg.report.data.reading import UNITS, Record, names
from thalweg.report.parts.axes import log_axis, mark_target, rate_axis
from thalweg.report.parts.section import Figure, Section, table

_LABEL = 20
"""Characters of a name beside its region."""

_ROW = 24
"""Pixels for each entrant's region, under the curves."""


def sensitivity_section(result: Record) -> Section | None:
    """Return the section of the learning rates, None where nothing was tuned."""
    points = _points(result)
    if not points:
        return None
    metric = text.spaced(result["metric"]["name"])
    views = {"cost": f"{result['rank_by']} to target", "final": f"final {metric}"}
    if all(point[result["rank_by"]] is None for point in points):
        del views["cost"]
    make = {"cost": cost_over_rates, "final": final_over_rates}
    regions = {row["entrant"]: row for row in result["sensitivity"]}
    hint = "Medians over the tuning seeds. The large mark is the point chosen."
    if any(row["edge"] in ("lower", "upper") for row in result["standings"]):
        hint += " A triangle says that it lies on the edge of what was tried."
    if regions:
        factor = next(iter(regions.values()))["factor"]
        hint += (
            f" Below, the region in which the cost stays within {factor:g} times the best; an arrow "
            "says that it goes on beyond what was tried."
        )
        if any(row.get("width_low") is not None for row in regions.values()):
            hint += (
                " Few seeds see its width too narrow or too wide: its interval holds the true one."
            )
    return Section(
        key="sensitivity",
        title="Learning-rate sensitivity",
        hint=hint,
        choices=(views,) if len(views) > 1 else (),
        figures={view if len(views) > 1 else "": make[view](result) for view in views},
        alt="The result of each entrant at each learning rate that was tried.",
        tall=400 + _ROW * len(regions),
    )


def cost_over_rates(result: Record) -> Figure:
    """Return the figure of the median cost to the target over the learning rate; misses stand in
    rows above.
    """
    unit, points = result["rank_by"], _points(result)
    finite = [point[unit] for point in points if point[unit] is not None]
    low, high = min(finite, default=1), max(finite, default=10)
    room = max(math.log10(high / low), 0.5)
    order = names(result)
    traces: list[dict[str, Any]] = []
    for index, name in enumerate(order):
        own = [point for point in points if point["entrant"] == name]
        if not own:
            continue
        words = [
            f"{text.cost(p[unit], unit)} {UNITS[unit]}, {p['reached']} of {p['trials']} reached"
            for p in own
        ]
        traces.append(_rates(result, name, own, [point[unit] for point in own], words))
        missed = [point["lr"] for point in own if point[unit] is None]
        row = high * 10 ** (room * (0.15 + 0.3 * (index + 0.5) / len(order)))
        traces.append(_misses(name, missed, row))
    axis = log_axis(finite or [1, 10])
    ticks = [tick for tick in axis["tickvals"] if tick <= high * 1.01]
    layout: dict[str, Any] = {
        "yaxis": {
            **axis,
            "title": {"text": f"{UNITS[unit]} to target"},
            "range": [math.log10(low) - 0.12 * room, math.log10(high) + 0.48 * room],
            "tickvals": [*ticks, high * 10 ** (room * 0.3)],
            "ticktext": [*axis["ticktext"][: len(ticks)], "missed"],
        },
    }
    columns = ["entrant", "lr", unit, "reached", "trials", *_others(points)]
    return _with_regions(result, traces, layout, columns)


def final_over_rates(result: Record) -> Figure:
    """Return the figure of the median final metric over the learning rate; where the median trial
    diverged there is no point.
    """
    metric, points = result["metric"]["name"], _points(result)
    traces = []
    for name in names(result):
        own = [point for point in points if point["entrant"] == name]
        words = [text.metric_value(point["final"], metric) for point in own]
        if own:
            traces.append(_rates(result, name, own, [point["final"] for point in own], words))
    layout: dict[str, Any] = {
        "yaxis": {
            "title": {"text": f"final validation {text.spaced(metric)}"},
            "tickformat": text.metric_format(metric),
        },
    }
    mark_target(layout, result["target"])
    columns = ["entrant", "lr", "final", "final_low", "final_high", "diverged", "trials"]
    return _with_regions(result, traces, layout, [*columns, *_others(points)])


def _points(result: Record) -> list[dict[str, Any]]:
    """The points of the longest trials: those of shorter ones cannot be compared with them."""
    longest = {
        row["entrant"]: max(r["epochs"] for r in result["tuning"] if r["entrant"] == row["entrant"])
        for row in result["tuning"]
    }
    rows = [dict(row) for row in result["tuning"] if row["epochs"] == longest[row["entrant"]]]
    return sorted(rows, key=lambda row: (row["entrant"], row["lr"]))


def _others(points: Sequence[Record]) -> list[str]:
    return sorted({name for point in points for name in point["hyperparameters"]})


def _with_regions(
    result: Record, traces: list[dict[str, Any]], layout: dict[str, Any], columns: Sequence[str]
) -> Figure:
    """Put the good regions under the curves, over the same axis of learning rates."""
    points = _points(result)
    regions = [
        row for name in names(result) for row in result["sensitivity"] if row["entrant"] == name
    ]
    layout["xaxis"] = rate_axis([point["lr"] for point in points])
    if regions:
        share = _ROW * len(regions) / (400 + _ROW * len(regions))
        layout["yaxis"]["domain"] = [share + 0.08, 1]
        layout["xaxis"]["anchor"] = "y2"
        layout["yaxis2"] = {
            "domain": [0, share],
            "range": [len(regions) - 0.4, -0.6],
            "tickvals": list(range(len(regions))),
            "ticktext": [text.cut(row["entrant"], _LABEL) for row in regions],
            "showgrid": False,
        }
        traces += [_region(row, height) for height, row in enumerate(regions)]
    rows = [
        [p[c] if c in p else p["hyperparameters"].get(c) for c in columns] for p in points
    ]  # fmt: skip
    good = {row["entrant"]: row for row in regions}
    shown = ("low", "high", "width", "width_low", "width_high")
    ends = [[good.get(p["entrant"], {}).get(end) for end in shown] for p in points]
    return {
        "data": traces,
        "layout": layout,
        "table": table(
            [*columns, "good_from", "good_to", "decades", "decades_low", "decades_high"],
            [[*row, *end] for row, end in zip(rows, ends, strict=True)],
        ),
    }


def _region(row: Record, height: int) -> dict[str, Any]:
    """A bar from the least to the greatest rate that is good enough, with the best one marked."""
    lower, upper = ("lower" in row["open"], "upper" in row["open"])
    symbols = [
        "triangle-left" if lower else "line-ns",
        "circle",
        "triangle-right" if upper else "line-ns",
    ]
    width = f"{row['width']:.2g} decades{' or more' if row['open'] else ''}"
    if row.get("width_low") is not None:
        ends = text.span(f"{row['width_low']:.2g}", f"{row['width_high']:.2g}")
        width += f" ({text.percent(row['width_level'])} interval {ends})"
    return {
        "mode": "lines+markers",
        "name": row["entrant"],
        "x": [row["low"], row["best"], row["high"]],
        "y": [height] * 3,
        "yaxis": "y2",
        "meta": {"entrant": row["entrant"], "role": "region"},
        "line": {"width": 5},
        "marker": {"size": [9, 9, 9], "symbol": symbols, "line": {"width": [2, 0, 2]}},
        "hovertemplate": (
            f"{row['entrant']} good from {text.rate(row['low'])} to {text.rate(row['high'])}: {width}"
        ),
    }


def _rates(
    result: Record,
    name: str,
    points: Sequence[Record],
    heights: Sequence[float | None],
    words: Sequence[str],
) -> dict[str, Any]:
    """One entrant's points over its learning rates; the chosen one is large, a triangle on the edge.

    Points that differ in more than the learning rate do not form a curve, and no line joins them.
    """
    entrant = next(e for e in result["entrants"] if e["name"] == name)
    standing = next((s for s in result["standings"] if s["entrant"] == name), None)
    chosen = entrant["chosen"] or {}
    best = [{"lr": p["lr"], **p["hyperparameters"]} == chosen for p in points]
    edge = standing["edge"] if standing else None
    symbol = {"lower": "triangle-left", "upper": "triangle-right"}.get(edge or "", "circle")
    others = [
        "".join(f", {key} {text.value(v)}" for key, v in p["hyperparameters"].items())
        for p in points
    ]
    return {
        "mode": "markers" if any(others) else "lines+markers",
        "name": name,
        "x": [point["lr"] for point in points],
        "y": list(heights),
        "text": [f"{other}: {w}" for other, w in zip(others, words, strict=True)],
        "meta": {"entrant": name, "role": "points"},
        "line": {"width": 1.8},
        "marker": {
            "size": [14 if mark else 6 for mark in best],
            "symbol": [symbol if mark else "circle" for mark in best],
            "line": {"width": 0},
        },
        "hovertemplate": f"{name} at %{{x}}%{{text}}",
    }


def _misses(name: str, rates: Sequence[float], height: float) -> dict[str, Any]:
    return {
        "mode": "markers",
        "name": name,
        "x": list(rates),
        "y": [height] * len(rates),
        "meta": {"entrant": name, "role": "misses"},
        "line": {"width": 0},
        "marker": {"size": 5, "symbol": "x-thin", "line": {"width": 1.3}},
        "hovertemplate": f"{name} at %{{x}}: missed",
    }
