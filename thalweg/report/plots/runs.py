"""A picture of runs: loss and metrics over the epochs, as a figure and as a page of its own.

Read are plain records: of each epoch the flat figures (`epoch`, `train_loss`, `validation_loss`,
`train_accuracy`, …), and of a run what its `run.json` holds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.report.data import text
from thalweg.report.parts.axes import log_axis
from thalweg.report.parts.drawn import Chart
from thalweg.report.parts.palette import Colour, colours
from thalweg.report.plots.one_figure import Saved, figure_page

Rows = Sequence[Mapping[str, float]]
"""The epochs of a run, each as flat figures."""

TRAINING, VALIDATION = "training", "validation"
_SIDES = {TRAINING: "train", VALIDATION: "validation"}
_OF_ONE = {TRAINING: Colour("#5f6773", "#a3adba"), VALIDATION: Colour("#0072b2", "#4ba3e0")}
_GAP = 0.09
_SHOWN = ("stopped", "epochs", "steps", "seconds", "gradients")


def plot_runs(runs: Mapping[str, Rows], path: str | os.PathLike[str] | None = None) -> Chart:
    """Draw runs over their epochs: the loss, and below it each metric; return the chart.

    Of one run are drawn the training and the validation set; of several, each by its name, the validation
    set, or the training set of one that has no other.

    Args:
        runs: of each run, by its name, the epochs as flat figures.
        path: an .html file to write the picture to, a page that needs nothing else.

    Raises:
        ValueError: no epochs at all, or a path that does not end in .html.

    >>> rows = [{"epoch": k, "train_loss": 1 / k, "validation_loss": 2 / k} for k in (1, 2, 3)]
    >>> [curve["name"] for curve in plot_runs({"mine": rows}).data]
    ['training', 'validation']
    """
    if path is not None and Path(path).suffix.lower() != ".html":
        raise ValueError(
            f"The picture is a page: its path must end in .html, got {os.fspath(path)!r}."
        )
    figure = _figure(runs)
    title = " and ".join(runs) if len(runs) < 4 else f"{len(runs)} runs"
    record = {"runs": {name: list(rows) for name, rows in runs.items()}}
    chart = Chart(**figure, page=_page(figure, title, "", _curve_names(runs), record))
    if path is not None:
        write_text(path, chart.page)
    return chart


def write_run_page(record: Mapping[str, Any], rows: Rows, path: str | os.PathLike[str]) -> Path:
    """Write the page of one run: its curves, its figures and its settings; return the path.

    Args:
        record: what `run.json` holds.
        rows: its epochs, as flat figures.
        path: the file.

    Raises:
    """
    name = f"{record['task'].get('name')}, {record['recipe'].get('optimizer')}"
    figure = _figure({name: rows})
    below = "".join(
        f"<h2>{title}</h2><dl>{entries}</dl>"
        for title, entries in (
            ("Results", _results(record)),
            ("Run", _entries({k: record.get(k) for k in _SHOWN})),
            ("Recipe", _entries(_told(record["recipe"]))),
            ("Task", _entries(record["task"])),
            ("Machine", _entries({"machine": record.get("machine"), **record["versions"]})),
        )
        if entries
    )
    page = _page(figure, name, below, _curve_names({name: rows}), {**record, "history": list(rows)})
    write_text(path, page)
    return Path(path)


def _figure(runs: Mapping[str, Rows]) -> dict[str, Any]:
    if not any(runs.values()):
        raise ValueError("There are no epochs to draw: the history is empty.")
    panels = _panels(runs)
    traces = [
        _trace(name, rows, column, place)
        for place, panel in enumerate(panels)
        for name, rows, column in _curves(runs, panel)
    ]
    return {"data": traces, "layout": _layout(panels, traces)}


def _panels(runs: Mapping[str, Rows]) -> list[str]:
    """Return the figures to draw: the loss, then the metrics, in the order in which they are met."""
    sides = tuple(f"{side}_" for side in _SIDES.values())
    found = {"loss": None}
    for rows in runs.values():
        for row in rows[:1]:
            for column in row:
                for side in sides:
                    if column.startswith(side):
                        found[column.removeprefix(side)] = None
    return list(found)


def _curves(runs: Mapping[str, Rows], panel: str) -> list[tuple[str, Rows, str]]:
    """Return the curves of a panel: name, epochs, column."""
    found = []
    if len(runs) == 1:
        ((_, rows),) = runs.items()
        found = [(name, rows, f"{side}_{panel}") for name, side in _SIDES.items()]
    else:
        for name, rows in runs.items():
            sides = [f"{side}_{panel}" for side in (_SIDES[VALIDATION], _SIDES[TRAINING])]
            found += [(name, rows, next((s for s in sides if rows and s in rows[0]), sides[0]))]
    return [(name, rows, column) for name, rows, column in found if rows and column in rows[0]]


def _curve_names(runs: Mapping[str, Rows]) -> list[str]:
    return [
        f"{name}, {text.spaced(panel)}"
        for panel in _panels(runs)
        for name, _, _ in _curves(runs, panel)
    ]


def _trace(name: str, rows: Rows, column: str, place: int) -> dict[str, Any]:
    number = "" if place == 0 else str(place + 1)
    values = [float(row.get(column, math.nan)) for row in rows]
    return {
        "mode": "lines" if len(rows) > 1 else "markers",
        "name": name,
        "x": [int(row["epoch"]) for row in rows],
        "y": [value if math.isfinite(value) else None for value in values],
        "xaxis": "x",
        "yaxis": f"y{number}",
        "line": {"width": 2.2},
        "hovertemplate": "%{y}",
    }


def _layout(panels: Sequence[str], traces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": "epoch"},
            "anchor": "free",
        },
        "hovermode": "x unified",
    }
    layout["xaxis"]["position"] = 0
    height = (1 - _GAP * (len(panels) - 1)) / (len(panels) + 0.6)
    top = 1.0
    for place, panel in enumerate(panels):
        tall = height * (1.6 if place == 0 else 1)  # the loss is what is descended
        name = "yaxis" if place == 0 else f"yaxis{place + 1}"
        found = [
            y
            for t in traces
            if t["yaxis"] == name.replace("axis", "")
            for y in t["y"]
            if y is not None
        ]
        scale = log_axis(found, 0.04) if panel == "loss" and found and min(found) > 0 else {}
        title = {"text": text.spaced(panel)}
        layout[name] = {"title": title, "domain": [max(0.0, top - tall), top], **scale}
        top -= tall + _GAP
    return layout


def _page(
    figure: Mapping[str, Any],
    title: str,
    below: str,
    names: Sequence[str],
    record: Mapping[str, Any],
) -> str:
    panels = {trace["yaxis"] for trace in figure["data"]}
    shown = list(dict.fromkeys(trace["name"] for trace in figure["data"]))
    traces = [{**trace, "meta": shown.index(trace["name"])} for trace in figure["data"]]
    both = set(shown) <= set(_OF_ONE)
    palette = [_OF_ONE[name] for name in shown] if both else list(colours(shown).values())
    key = "".join(
        f'<li><span class="name" style="--c:var(--e{i})">{escape(name)}</span></li>'
        for i, name in enumerate(shown)
    )
    return figure_page(
        {**figure, "data": traces},
        title=escape(title),
        header=f'<p class="kicker">thalweg run</p>\n<h1>{escape(title)}</h1>',
        below=f'<ul class="key">{key}</ul>{below}',
        palette=palette,
        saved=Saved("run", ("curve", "epoch", "value"), names, record),
        tall=330 + 190 * (len(panels) - 1),
    )


def _told(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that say something: not that there was no schedule, or one batch a step."""
    left_out = {"by_name"} | ({"scheduler_step"} if not recipe.get("scheduler") else set())
    if recipe.get("accumulate") == 1:
        left_out.add("accumulate")
    return {name: value for name, value in recipe.items() if name not in left_out}


def _results(record: Mapping[str, Any]) -> str:
    entries = {}
    for split, scores in (record.get("results") or {}).items():
        figures = (
            f"{text.spaced(name)} {'NaN' if value is None else f'{value:.6g}'}"
            for name, value in scores.items()
        )
        entries[split] = ", ".join(figures)
    return _entries(entries)


def _entries(values: Mapping[str, Any]) -> str:
    """Return the entries of a list, those that say something."""
    shown = {k: v for k, v in values.items() if v not in (None, "", {}, [])}
    return "".join(
        f"<dt>{escape(text.spaced(str(name)))}</dt><dd>{escape(_words(value))}</dd>"
        for name, value in shown.items()
    )


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return str(value)
