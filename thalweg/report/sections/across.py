"""Several tasks at once: profiles and scores, pairwise ratios, and the median cost on each task."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from thalweg.numeric import plural
from thalweg.report.data import text
from thalweg.report.data.reading import UNITS, Record, names
from thalweg.report.parts.axes import log_axis
from thalweg.report.parts.section import Figure, Section, table
from thalweg.report.parts.tables import Column, cell, heat, maybe_missed, named, row, sortable
from thalweg.report.words.effects import in_pairs, strength
from thalweg.report.words.several import SCORE, pairwise_words, score_range


def across_sections(result: Record) -> list[Section]:
    """Return the sections that look at all tasks together."""
    if not result["costs"]["entrants"]:
        return []
    return [_costs(result), _profiles(result), _pairwise(result)]


def ranked(result: Record) -> list[str]:
    """Return the entrants that have costs, by descending score."""
    return [name for name in names(result) if name in result["costs"]["entrants"]]


def unit_of(result: Record) -> str:
    """Return what the costs are counted in."""
    return str(result["by"])


def _profiles(result: Record) -> Section:
    warnings = "".join(f"<li>{escape(found['text'])}</li>" for found in result["reversals"])
    warned = (
        '<div class="warning" role="note"><b>The order depends on who else runs</b>'
        f"<ul>{warnings}</ul></div>"
        if warnings
        else ""
    )
    ranges = result.get("score_ranges", {})
    rows = []
    for name in ranked(result):
        score, ends = result["scores"].get(name, 0.0), ranges.get(name)
        cells = [
            cell(named(name), name, left=True),
            cell(_bar(score), score, left=True),
            cell(f"{score:.2f}", score),
        ]
        if ranges:
            cells.append(cell(score_range(ends) if ends else "", ends[0] if ends else None))
        rows.append(row(cells, name))
    columns = [Column("optimizer", left=True), Column("score", left=True), Column("of 1")]
    if ranges:
        columns.append(Column("without any one task"))
    unsolved = result["profiles"]["unsolved"]
    verb = "counts" if unsolved == 1 else "count"
    lost = f" {plural(unsolved, 'task')} that nobody solved {verb} against all." if unsolved else ""
    return Section(
        key="profiles",
        title="Performance profiles",
        hint=(
            "On which share of the tasks an entrant is within a factor of the best: high and left is "
            f"good. {SCORE}{lost} It has no confidence interval, since tasks are chosen and not drawn; "
            "its range with any one task left out says how much it hangs on a single task. Profiles "
            "depend on who else runs; the pairwise ratios do not."
        ),
        body=warned + sortable(columns, rows, "Scores", "scores"),
        figures={"": profiles(result)},
        alt="The share of tasks on which each entrant is within a factor of the best.",
    )


def profiles(result: Record) -> Figure:
    """Return the figure of the performance profiles."""
    factors = result["profiles"]["factor"]
    far = max([*factors, 2.0]) * 1.15
    traces = []
    shares = result["profiles"]["share"]
    shown = [name for name in names(result) if name in shares]
    for place, name in enumerate(shown):
        share = shares[name]
        traces.append(
            {
                "mode": "lines",
                "name": name,
                "x": [*factors, far],
                "y": [*share, share[-1]],
                "meta": {"entrant": name, "role": "line"},
                # profiles often coincide: the one drawn before must show around the one after
                "line": {"width": 2 + 1.2 * min(len(shown) - 1 - place, 4), "shape": "hv"},
                "hovertemplate": (f"{name} within %{{x}}× on %{{y}}"),
            }
        )
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "factor of the best"}, **log_axis([1.0, far])},
        "yaxis": {
            "title": {"text": "share of the tasks"},
            "range": [-0.03, 1.03],
            "tickformat": ".0%",
        },
    }
    rows = [
        (name, factor, value)
        for name, share in result["profiles"]["share"].items()
        for factor, value in zip(factors, share, strict=True)
    ]
    return {"data": traces, "layout": layout, "table": table(["entrant", "factor", "share"], rows)}


def _pairwise(result: Record) -> Section:
    order, unit = result["pairwise"]["entrants"], unit_of(result)
    values: dict[tuple[str, str], tuple[float | None, str, str]] = {}
    for i, one in enumerate(order):
        for j, other in enumerate(order):
            ratio, wins = result["pairwise"]["ratio"][i][j], result["pairwise"]["wins"][i][j]
            if i == j or ratio is None:
                continue
            words = pairwise_words(result, i, j)
            faster = f"faster on {wins:.0%}"
            if words is None:
                said = f"{one} and {other} each miss what the other solves; {faster}"
                values[one, other] = (None, "–", said)
                continue
            tint = strength(ratio) if ratio > 1 else -strength(ratio)
            said = f"{one} {text.times(words, unit)} as {other}; {faster}"
            short = words.replace("at least", "≥").replace("at most", "≤")
            values[one, other] = (tint, short, said)
    bounds = result["pairwise"].get("bound")
    rows = [
        (
            one,
            other,
            result["pairwise"]["ratio"][i][j],
            bounds[i][j] if bounds else None,
            result["pairwise"]["wins"][i][j],
        )
        for i, one in enumerate(order)
        for j, other in enumerate(order)
    ]
    shown = [name for name in ranked(result) if name in order]
    return Section(
        key="pairwise",
        title="Pairwise ratios",
        hint=(
            f"How many {in_pairs(unit)}, as the "
            "geometric mean over the tasks; below 1 the row is faster. A miss counts with its own "
            "budget, the least that it took, so the ratio is then a bound (≥, ≤), or open where each "
            "misses what the other solves (–). A task that both miss counts as the ratio of their "
            "budgets. No third entrant changes these numbers."
        ),
        body=heat(shown, values, "Pairwise ratios"),
        table=table(["entrant", "other", "ratio", "bound", "wins"], rows),
    )


def _costs(result: Record) -> Section:
    tasks: Sequence[str] = result["costs"]["tasks"]
    lines = dict(zip(result["costs"]["entrants"], result["costs"]["table"], strict=True))
    best = [
        min((line[k] for line in lines.values() if line[k] is not None), default=None)
        for k in range(len(tasks))
    ]
    unit = unit_of(result)
    rows = []
    for name in ranked(result):
        cells = [cell(named(name), name, left=True)]
        for k, value in enumerate(lines[name]):
            words = maybe_missed(text.cost(value, unit))
            cells.append(
                cell(f"<b>{words}</b>" if value is not None and value == best[k] else words, value)
            )
        rows.append(row(cells, name))
    columns = [Column("optimizer", left=True), *(Column(escape(task)) for task in tasks)]
    return Section(
        key="costs",
        title="Each task",
        hint=(
            f"Median {UNITS[unit]} to the target of the task; the least in bold, which is not yet a "
            "claim: each task's own ranking says who is told apart."
        ),
        body=sortable(columns, rows, "Median cost of each task"),
        table=table(["entrant", *tasks], [[name, *lines[name]] for name in ranked(result)]),
    )


def _bar(score: float) -> str:
    return f'<span class="bar"><i style="width:{100 * score:.1f}%"></i></span>'
