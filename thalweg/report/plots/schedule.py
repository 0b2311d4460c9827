"""A picture of schedules: their values over the steps, as a figure and as a page of its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.numeric import as_whole
from thalweg.report.parts.drawn import Chart
from thalweg.report.parts.palette import colours
from thalweg.report.plots.one_figure import Saved, figure_page

OfStep = Callable[[int], float]
"""A schedule, or any other function of the steps already taken."""

MOST_POINTS = 4000
"""The most points a curve is drawn with: more than a screen has columns."""


def plot_schedules(
    schedules: OfStep | Iterable[OfStep] | Mapping[str, OfStep],
    steps: int,
    path: str | os.PathLike[str] | None = None,
    *,
    log: bool = False,
) -> Chart:
    """Draw schedules over the first `steps` steps, in one picture, and return the chart.

    Args:
        schedules: one, several, or several by the names they shall have in the picture; each a schedule or
            any function of the steps already taken.
        steps: how many steps to show; each value is drawn over the steps already taken, from 0.
        path: an .html file to write the picture to, whole or not at all: a page that needs nothing else,
            no network included. Its folder is made if need be.
        log: a logarithmic axis for the values; values of 0 and below leave a gap.

    Of more than 4000 steps every n-th is drawn, and the last.

    Raises:
        ValueError: no schedules, steps below 1, or a path that does not end in .html.
        TypeError: something given is neither.

    >>> from thalweg.schedules import cosine, inverse_sqrt
    >>> chart = plot_schedules({"a": cosine(0.1, steps=100), "b": inverse_sqrt(0.1, warmup=4)}, 100)
    >>> [(curve["name"], len(curve["y"]), curve["y"][0]) for curve in chart.data]
    [('a', 100, 0.1), ('b', 100, 0.025)]
    """
    count = as_whole(steps)
    if count is None or count < 1:
        raise ValueError(f"steps must be an integer of at least 1, got {steps!r}.")
    steps = count
    if path is not None and Path(path).suffix.lower() != ".html":
        raise ValueError(
            f"The picture is a page: its path must end in .html, got {os.fspath(path)!r}."
        )
    named = _named(schedules)
    figure = _figure(named, steps, log)
    chart = Chart(**figure, page=_page(figure, named, steps))
    if path is not None:
        write_text(path, chart.page)
    return chart


def _named(schedules: Any) -> dict[str, OfStep]:
    """Return the schedules by name: those given, else their kind, or their code where kinds repeat."""
    if callable(schedules):
        schedules = [schedules]
    if isinstance(schedules, Mapping):
        pairs = [(str(name), schedule) for name, schedule in schedules.items()]
    elif isinstance(schedules, Iterable):
        pairs = [(_name(schedule), schedule) for schedule in schedules]
    else:
        pairs = [("", schedules)]
    for _, schedule in pairs:
        if not callable(schedule):
            raise TypeError(
                "Expected schedules, such as thalweg.schedules.cosine(steps=10), or functions of the step, "
                f"got {schedule!r}."
            )
    if not pairs:
        raise ValueError("No schedules to draw: expected at least one.")
    count = Counter(name for name, _ in pairs)
    return {name if count[name] == 1 else repr(schedule): schedule for name, schedule in pairs}


def _name(schedule: Any) -> str:
    for attribute in ("name", "__name__"):  # of a schedule of this package; of a function
        name = getattr(schedule, attribute, None)
        if isinstance(name, str) and name:
            return name
    return repr(schedule)


def _figure(named: Mapping[str, OfStep], steps: int, log: bool) -> dict[str, Any]:
    traces = [_trace(name, schedule, steps, log) for name, schedule in named.items()]
    layout = {
        "xaxis": {
            "title": {"text": "steps taken"},
            "range": [0, max(steps - 1, 1)],
        },
        "yaxis": {
            "title": {"text": "value"},
            **({"type": "log"} if log else {"rangemode": "tozero"}),
        },
        "hovermode": "x unified",
    }
    return {"data": traces, "layout": layout}


def _trace(name: str, schedule: OfStep, steps: int, log: bool) -> dict[str, Any]:
    ks = [*range(0, steps - 1, -(-steps // MOST_POINTS)), steps - 1]
    values = [float(schedule(k)) for k in ks]
    return {
        "mode": "lines" if len(ks) > 1 else "markers",
        "name": name,
        "x": ks,
        "y": [None if log and value <= 0 else value for value in values],
        "line": {"width": 2.2},
        "hovertemplate": "%{y}",
    }


def _page(figure: Mapping[str, Any], named: Mapping[str, OfStep], steps: int) -> str:
    rows = "".join(
        f'<dt><span class="name" style="--c:var(--e{i})">{escape(name)}</span></dt>'
        f"<dd><code>{escape(repr(schedule))}</code></dd>"
        for i, (name, schedule) in enumerate(named.items())
    )
    record = {
        "schema": "thalweg.schedules/1",
        "steps": steps,
        "schedules": [
            {"name": name, "code": repr(schedule), "steps_taken": curve["x"], "values": curve["y"]}
            for (name, schedule), curve in zip(named.items(), figure["data"], strict=True)
        ],
    }
    unit = "step" if steps == 1 else "steps"
    return figure_page(
        figure,
        title=f"Schedules over {steps:,} {unit}",
        header=f"""<p class="kicker">thalweg schedules</p>
<h1>The value at each of {steps:,} {unit}</h1>""",
        below=f"<dl>{rows}</dl>",
        palette=list(colours(list(named)).values()),
        saved=Saved("schedules", ("schedule", "steps_taken", "value"), list(named), record),
    )
