"""The page of a landscape: the plane with the runs, a slider along their steps, and what was computed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.landscape.drawing import drawing
from thalweg.landscape.runs import names_of
from thalweg.numeric import without_nonfinite
from thalweg.report.parts.offline import asset, framed
from thalweg.report.parts.palette import Colour, colours, palette_style
from thalweg.report.parts.target import free_page

_SLIDER = ".along { display: block; width: 100%; margin: 16px 0 4px; accent-color: var(--accent); }"


def write_landscape_page(
    record: Mapping[str, Any], path: str | os.PathLike[str], *, over: bool = False
) -> Path:
    """Write the page of a landscape, whole or not at all: one file that needs nothing else.

    Raises TaskError as `free_page` does.
    """
    page = free_page(path, "The page of a landscape", "--html", over=over)
    write_text(page, landscape_page(record))
    return page


def landscape_page(record: Mapping[str, Any]) -> str:
    """Return the page of a landscape as the text of one HTML page."""
    plain = without_nonfinite(record)
    names = names_of(plain["paths"])
    palette = _palette(names)
    title = escape(f"Landscape of {plain['task']}")
    body = f"""<header>
<p class="kicker">thalweg landscape · {escape(plain["task"])}</p>
<h1>{escape(_heading(plain))}</h1>
<p class="verdict">{escape(share_words(plain))}</p>
</header>
<section class="card">
<p class="hint">{escape(_hint(plain))}</p>
{drawing(plain)}
<label class="hint" for="share">Along the runs, by step</label>
<input class="along" id="share" type="range" min="0" max="400" value="400">
<dl id="said"></dl>
<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes(plain))}</ul>
<div class="save"><button type="button" data-save="svg" title="The picture">SVG</button>\
<button type="button" data-save="csv" title="The loss on the grid">CSV</button>\
<button type="button" data-save="json" title="All of it">JSON</button></div>
<noscript><p>Slider and buttons need JavaScript; the picture does not.</p></noscript>
</section>"""
    return framed(
        body,
        title=title,
        style=f"{asset('page.css')}{_SLIDER}\n{palette_style(palette)}",
        data={"landscape": {"record": plain, "names": names}},
        scripts=[asset("save.js"), asset("landscape.js")],
    )


def _palette(names: list[str]) -> list[Colour]:
    """Return a colour for each way, the optimizer's own where it is alone."""
    known = colours(names)
    return [known[name] for name in names]


def _heading(record: Mapping[str, Any]) -> str:
    kind = {
        "pca": "The loss around the paths of {runs}",
        "line": "The loss along the line between two points",
        "random": "The loss around the end of {runs}",
    }[record["plane"]]
    count = len(record["paths"])
    return kind.format(runs="one run" if count == 1 else f"{count} runs")


def share_words(record: Mapping[str, Any]) -> str:
    """Return in a sentence or two how much of the paths the plane shows."""
    shares = record["explained"]
    if record["plane"] == "random":
        return "A plane of two random directions, each filter as long as the model's."
    if record["plane"] == "line":
        return "Two points make a line; the second direction is random, filter-normalised."
    words = f"Two components explain {100 * sum(shares):.1f} % of the variance of the points."
    if record["random_walk"] is None:
        return words
    return (
        f"{words} Random walks from the same starts would have {100 * record['random_walk']:.1f} %."
    )


def _hint(record: Mapping[str, Any]) -> str:
    return (
        "The stronger the shade, the higher the loss; lines join equal loss, in equal steps of its "
        "logarithm where it is positive. Both axes have one unit, the distance between parameters"
        + (", in filters' norms. " if record["plane"] == "random" else ". ")
        + "A ring is the start of a path. Paths lie beside the plane: they are drawn where they project."
    )


def notes(record: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of how the picture was computed."""
    how = (
        f"{record['evaluations']:,} evaluations of {record['rows']:,} rows of the training set in "
        f"{record['seconds']:.3g} s; dropout off, batch norm by the statistics of the batch."
    )
    found = [how]
    if record["interrupted"]:
        found.insert(
            0, f"It was interrupted: {record['evaluations']:,} of {record['planned']:,} are done."
        )
    ends = [path["run"] for path in record["paths"] if len(path["steps"]) == 1]
    if ends:
        found.append(
            f"Only the end is known of {', '.join(ends)}: a path is kept by thalweg train … --keep-path."
        )
    return found
