"""The tuning-budget curves: the result that fewer points would have given, on average."""

from __future__ import annotations

from html import escape
from typing import Any

from thalweg.report.data import text
from thalweg.report.data.reading import UNITS, Record, names
from thalweg.report.parts.axes import log_axis
from thalweg.report.parts.section import Figure, Section, table


def tuning_section(result: Record) -> Section | None:
    """Return the section of the tuning-budget curves, None where there is none to draw."""
    if not any(value is not None for row in result["budget_curves"] for value in row["expected"]):
        return None
    level = text.percent(result["budget_curves"][0]["level"])
    lost = [
        row["entrant"]
        for row in result["budget_curves"]
        if row["entrant"] in names(result) and row["expected"][-1] is None
    ]
    hint = (
        "The best of so many points of tuning, drawn at random from those that were run: its "
        f"expectation, and the range of {level} of all draws. Points that a grid placed by the results of "
        "the first come after these. A steep end says that more points would have paid. "
        f"{_judged_on(result)}"
    )
    if _of(result) != "final":
        hint += " A curve begins where no draw misses the target."
    if lost:
        hint += f" No curve has {escape(text.listed(lost))}: no point of tuning reached the target."
    return Section(
        key="tuning",
        title="Fewer points of tuning",
        hint=hint,
        figures={"": budget_curves(result)},
        alt="The expected result of each entrant after so many points of tuning.",
    )


def budget_curves(result: Record) -> Figure:
    """Return the figure of the expected best over the number of points."""
    order = {name: place for place, name in enumerate(names(result))}
    rows = sorted(result["budget_curves"], key=lambda row: order.get(row["entrant"], len(order)))
    traces = [_band(row) for row in rows] + [_line(row) for row in rows]
    shown = [
        v for row in rows for v in (*row["low"], *row["expected"], *row["high"]) if v is not None
    ]
    counts = [k for row in rows for k in row["trials"]]
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": "points of tuning"},
            "range": [min(counts) - 0.3, max(counts) + 0.3],
            "tickvals": sorted(set(counts))[:: 1 + len(set(counts)) // 15],
        },
        "yaxis": _heights(result, shown),
    }
    return {
        "data": traces,
        "layout": layout,
        "table": table(
            ["entrant", "points", "expected", "low", "high", "missed"],
            [
                (row["entrant"], *point)
                for row in rows
                for point in zip(
                    row["trials"],
                    row["expected"],
                    row["low"],
                    row["high"],
                    row["missed"],
                    strict=True,
                )
            ],
        ),
    }


def _judged_on(result: Record) -> str:
    """On which seeds the curves were judged; results of earlier versions do not say, and used all."""
    if all(row.get("held_out", False) for row in result["budget_curves"]):
        return "Points are chosen on all tuning seeds but one and judged on that one, each in its turn."
    return (
        "Points are judged on the very seeds that chose them, so every curve is too good; more than one "
        "tuning seed would mend it."
    )


def _of(result: Record) -> str:
    """What the curves are of: a cost, or the final figure."""
    return str(result["budget_curves"][0]["of"])


def _heights(result: Record, shown: list[float]) -> dict[str, Any]:
    if _of(result) != "final":
        unit = UNITS[_of(result)]
        return {"title": {"text": f"{unit} to target"}, **log_axis(shown, room=0.08)}
    metric = result["metric"]["name"]
    return {
        "title": {"text": f"final validation {text.spaced(metric)}"},
        "tickformat": text.metric_format(metric),
    }


def _line(row: Record) -> dict[str, Any]:
    return {
        "mode": "lines+markers",
        "name": row["entrant"],
        "x": row["trials"],
        "y": row["expected"],
        "meta": {"entrant": row["entrant"], "role": "line"},
        "line": {"width": 2.2},
        "marker": {"size": 6, "line": {"width": 0}},
        "hovertemplate": (f"{row['entrant']} %{{y}} with %{{x}} points"),
    }


def _band(row: Record) -> dict[str, Any]:
    """The range of the draws, where both of its ends are known."""
    ends = [
        (k, low, high)
        for k, low, high in zip(row["trials"], row["low"], row["high"], strict=True)
        if low is not None and high is not None
    ]
    ks, lows, highs = ([end[i] for end in ends] for i in range(3))
    return {
        "mode": "lines",
        "name": row["entrant"],
        "x": [*ks, *reversed(ks)],
        "y": [*highs, *reversed(lows)],
        "meta": {"entrant": row["entrant"], "role": "band"},
        "fill": "toself",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
