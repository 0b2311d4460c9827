"""The page of a lab: its text, its slider, and at each stop the picture, the findings and the doctor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.labs.lab import Finding, LabResult, SliderSweep
from thalweg.labs.picture import Picture, shared_ranges
from thalweg.labs.settings import text_of
from thalweg.labs.watching import Examination
from thalweg.report.data import text
from thalweg.report.parts.offline import asset, embedded
from thalweg.report.parts.target import free_page
from thalweg.report.plots.one_figure import Saved, figure_page


def check_page(path: str | os.PathLike[str], *, over: bool = False) -> Path:
    """Return the path of a page that may be written.

    Raises TaskError as `free_page` does.
    """
    return free_page(path, "The page of a lab", "--out", over=over)


def write_lab_page(
    result: LabResult | SliderSweep, path: str | os.PathLike[str], *, over: bool = False
) -> Path:
    """Write the page of a lab, whole or not at all: one file that needs nothing else, no network included.

    The page of a `sweep` has the slider; that of one result shows it alone.

    Raises TaskError as `check_page` does.
    """
    page = check_page(path, over=over)
    write_text(page, lab_page(result))
    return page


def lab_page(result: LabResult | SliderSweep) -> str:
    """Return the page of a lab as the text of one HTML page."""
    found = result if isinstance(result, SliderSweep) else SliderSweep((result,), 0)
    shown, lab = found.result, found.result.lab
    figures = _figures([each.picture for each in found.results])
    blocks = [_block(each, place, found.at) for place, each in enumerate(found.results)]
    moves = len(found.results) > 1
    return figure_page(
        figures[found.at],
        title=escape(lab.title),
        header=f"""<p class="kicker">thalweg lab · {escape(lab.name)}</p>
<h1>{escape(lab.title)}</h1>
<p class="verdict">{escape(lab.what)}</p>
<p class="why">{escape(lab.why)}</p>
<p class="hint">Read on: {escape(lab.source)}.</p>""",
        above=_slider(found) if moves else "",
        below="".join(blocks) + (_stops(found, figures) if moves else ""),
        palette=max((each.picture.palette() for each in found.results), key=len),
        saved=Saved(
            file=f"lab-{lab.name}",
            columns=("curve", shown.picture.x.title, shown.picture.y.title),
            names=_names(shown),
            record=shown.to_dict(),
        ),
        script=asset("stops.js") if moves else "",
    )


def _figures(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Return the figure of each stop; all have the same axes, where none is lost on them."""
    ranges = shared_ranges(pictures)
    return [each.description(*ranges) for each in pictures]


def _names(result: LabResult) -> list[str]:
    return [each.name for each in result.picture.curves]


def _slider(found: SliderSweep) -> str:
    slider, last = found.result.lab.slider, len(found.results) - 1
    left_out = ", ".join(f"{value:g}" for value in found.left_out)
    missing = f" Left out, as other settings do not allow them: {left_out}." if left_out else ""
    return f"""<p class="slider"><label for="slider">{escape(slider.name)}</label>
<input type="range" id="slider" min="0" max="{last}" step="1" value="{found.at}" disabled \
aria-valuetext="{escape(_shown(found.result))}" aria-describedby="slider-about">
<output id="slider-value" for="slider">{escape(_shown(found.result))}</output></p>
<p class="hint" id="slider-about">{escape(slider.about)}, from {escape(slider.range)}. \
{escape(slider.ends)}{missing}</p>
"""


def _shown(result: LabResult) -> str:
    """Return where the slider stands, with its unit."""
    return "" if result.slider is None else result.lab.slider.shown(result.slider)


def _stops(found: SliderSweep, figures: Sequence[dict[str, Any]]) -> str:
    """Return what the page's script shows at each stop, as data."""
    stops = [
        {
            "value": _shown(each),
            "figure": figure,
            "names": _names(each),
            "record": each.to_dict(),
        }
        for each, figure in zip(found.results, figures, strict=True)
    ]
    return f'<script type="application/json" id="stops">{embedded(stops)}</script>\n'


def _block(result: LabResult, place: int, shown: int) -> str:
    """Return what stands below the figure at a stop."""
    verdict = "All findings are what theory says" if result.holds else "Some findings miss theory"
    hidden = "" if place == shown else " hidden"
    return f"""<div data-stop="{place}"{hidden}>
<p class="hint">{escape(result.picture.hint)}</p>
{result.picture.legend()}{_tiles(result)}
<h2>{verdict}</h2>
<dl>{"".join(map(_row, result.findings))}</dl>
<h2>What the doctor says</h2>
{_doctor(result)}
<h2>Settings</h2>
<dl>{_settings(result)}</dl>
</div>
"""


def _doctor(result: LabResult) -> str:
    if isinstance(result.lab.patients, str):
        nothing = f"There is nothing for it to watch: {result.lab.patients}"
        return f'<p class="hint">{escape(nothing)}</p>'
    return "".join(map(_examination, result.examinations))


def _examination(found: Examination) -> str:
    lines = "".join(f"<li>{text.typeset(escape(line))}</li>" for line in found.lines())
    return f'<p><b>{escape(found.summary())}</b></p>\n<ul class="notes">{lines}</ul>\n'


def _row(finding: Finding) -> str:
    mark = "holds" if finding.holds else "<b>missed</b>"
    return (
        f"<dt>{escape(finding.name)}</dt><dd>{text.number(finding.found, 5)}; theory "
        f"{text.number(finding.theory, 5)} ± {text.number(finding.within, 2)}: {mark} "
        f"({escape(finding.because)})</dd>"
    )


def _settings(result: LabResult) -> str:
    return "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(text_of(value))}</code></dd>"
        for name, value in result.settings.items()
    )


def _tiles(result: LabResult) -> str:
    tiles = result.picture.tiles
    if not tiles:
        return ""
    drawn = "".join(_tile(tile) for tile in tiles)
    return f'<p style="display:flex;flex-wrap:wrap;gap:10px;margin:14px 0">{drawn}</p>'


def _tile(rows: Sequence[Sequence[float]]) -> str:
    """Return a small grey image as SVG: the value of largest magnitude is full ink, 0 is blank."""
    largest = max(abs(value) for row in rows for value in row) or 1.0
    cells = "".join(
        f'<rect x="{i}" y="{j}" width="1" height="1" fill-opacity="{abs(value) / largest:.3f}"/>'
        for j, row in enumerate(rows)
        for i, value in enumerate(row)
    )
    frame = f'<rect width="{len(rows[0])}" height="{len(rows)}" fill="var(--grid)"/>'
    return (
        f'<svg viewBox="0 0 {len(rows[0])} {len(rows)}" width="64" height="64" role="img" '
        f'aria-label="one tile" fill="var(--ink)">{frame}{cells}</svg>'
    )
