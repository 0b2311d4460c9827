"""A picture of a range test: every sweep, their median, and the suggested rate."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.report.data import text
from thalweg.report.parts.drawn import Chart
from thalweg.report.parts.palette import colours
from thalweg.report.plots.one_figure import Saved, figure_page

_HEADROOM = 0.25
"""How far above the first loss the picture reaches, as a share of the fall. Higher losses are cut off."""


def plot_range_test(record: Mapping[str, Any], path: str | os.PathLike[str] | None = None) -> Chart:
    """Draw a range test and return the chart: the loss over the learning rate, each sweep thin,
    their smoothed median thick, the suggestion a dashed line.

    Args:
        record: what `RangeTest.to_dict()` gives.
        path: an .html file to write the picture to, whole or not at all: a page that needs nothing else, no
            network included. Its folder is made if need be.

    Raises:
        ValueError: a path that does not end in .html.
    """
    if path is not None and Path(path).suffix.lower() != ".html":
        raise ValueError(
            f"The picture is a page: its path must end in .html, got {os.fspath(path)!r}."
        )
    figure = _figure(record)
    chart = Chart(**figure, page=_page(figure, record))
    if path is not None:
        write_text(path, chart.page)
    return chart


def _figure(record: Mapping[str, Any]) -> dict[str, Any]:
    rates = record["rates"]
    layout = {
        "xaxis": {
            "title": {"text": "learning rate"},
            "type": "log",
            "range": [math.log10(rates[0]), math.log10(rates[-1])],
        },
        "yaxis": {
            "title": {"text": "loss after the step"},
            "range": list(_heights(record)),
        },
        **_mark(record["suggestion"]),
    }
    return {"data": _traces(record), "layout": layout}


def _traces(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    rates = record["rates"]
    thin = [
        {
            "mode": "lines",
            "name": f"seed {each['seed']}",
            "x": rates[: len(each["losses"])],
            "y": each["losses"],
            "line": {"width": 1},
            "meta": 0,
            "opacity": 0.38,
            "hovertemplate": f"seed {each['seed']}: %{{y}} at %{{x}}",
        }
        for each in record["sweeps"]
    ]
    curve = record["curve"]
    thick = {
        "mode": "lines",
        "name": "median",
        "x": rates[: len(curve)],
        "y": curve,
        "line": {"width": 3.2},
        "meta": 0,
        "hovertemplate": "median: %{y} at %{x}",
    }
    return [*thin, thick]


def _mark(suggestion: float | None) -> dict[str, Any]:
    """Return the line at the suggestion, and its label, as parts of the layout."""
    if suggestion is None:
        return {}
    line = {
        "xref": "x",
        "yref": "paper",
        "x0": suggestion,
        "x1": suggestion,
        "y0": 0,
        "y1": 1,
        "line": {"width": 1.6, "dash": "dash"},
    }
    label = {
        "text": f"lr {suggestion:g}",
        "xref": "x",
        "yref": "paper",
        "x": math.log10(suggestion),
        "y": 1,
        "yanchor": "bottom",
    }
    return {"shapes": [line], "annotations": [label]}


def _heights(record: Mapping[str, Any]) -> tuple[float, float]:
    """Return the lowest and the highest loss shown: a diverging sweep would flatten all others."""
    begins = [each["start"] for each in record["sweeps"]]
    inside = [
        value for each in record["sweeps"] for value in each["losses"] if value <= max(begins)
    ]
    low, high = min([*inside, *begins]), max(begins)
    span = (high - low) or abs(high) or 1.0
    return low - 0.06 * span, high + _HEADROOM * span


def _page(figure: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    name = str(record["optimizer"]).lower()
    title = f"{escape(str(record['optimizer']))} on {escape(str(record['task']))}"
    found = record["suggestion"]
    headline = "No learning rate to suggest" if found is None else f"Learning rate {found:g}"
    reason = str(record["reason"])
    return figure_page(
        figure,
        title=f"{headline}: {title}",
        header=f"""<p class="kicker">thalweg range test · {title}</p>
<h1>{headline}</h1>
<p class="verdict">{escape(reason[:1].upper() + reason[1:])}.</p>""",
        below=f"""<p class="hint">Each thin line is one sweep: the loss on each batch while the rate rises \
from step to step. The thick line is their median, smoothed. Losses far above the start are cut off.</p>
{_notes(record)}<dl>{_facts(record)}</dl>""",
        palette=[colours([name])[name]],
        saved=Saved(
            file=f"range-test-{name}-{record['task']}",
            columns=("curve", "learning_rate", "loss"),
            names=[trace["name"] for trace in figure["data"]],
            record=record,
        ),
    )


def _notes(record: Mapping[str, Any]) -> str:
    if not record["notes"]:
        return ""
    items = "".join(f"<li>{escape(str(note))}</li>" for note in record["notes"])
    return f'<ul class="notes">{items}</ul>\n'


def _facts(record: Mapping[str, Any]) -> str:
    rates = record["rates"]
    rows = record["batch_size"]
    facts = [
        ("rates", f"{len(rates)} from {text.number(rates[0], 2)} to {text.number(rates[-1], 2)}"),
        ("batch", "all rows" if rows is None else f"{rows:,} rows"),
        ("loss before", f"{record['start']:.4g}"),
        *(
            (f"seed {each['seed']}", f"{ENDS[each['stopped']]} {text.number(each['end'], 2)}")
            for each in record["sweeps"]
        ),
    ]
    return "".join(f"<dt>{name}</dt><dd>{escape(words)}</dd>" for name, words in facts)


ENDS = {
    "highest": "went through all rates, to",
    "risen": "ended when the smoothed loss was 4 times its least value, at",
    "not finite": "ended when the loss was not finite, at",
}
"""How a sweep ended, as words before the rate."""
