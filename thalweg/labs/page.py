"""The page of a lab: its text, what was found against theory, and the picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from thalweg.files import write_text
from thalweg.labs.lab import Finding, LabResult
from thalweg.labs.settings import text_of
from thalweg.report.parts.target import free_page
from thalweg.report.plots.one_figure import Saved, figure_page


def check_page(path: str | os.PathLike[str], *, over: bool = False) -> Path:
    """Return the path of a page that may be written.

    Raises TaskError as `free_page` does.
    """
    return free_page(path, "The page of a lab", "--out", over=over)


def write_lab_page(result: LabResult, path: str | os.PathLike[str], *, over: bool = False) -> Path:
    """Write the page of a lab, whole or not at all: one file that needs nothing else, no network included.

    Raises:
        TaskError: as `check_page` does.
        MissingExtraError: Plotly is not installed.
    """
    page = check_page(path, over=over)
    write_text(page, lab_page(result))
    return page


def lab_page(result: LabResult) -> str:
    """Return the page of a lab as the text of one HTML page."""
    lab, picture = result.lab, result.picture
    verdict = "All findings are what theory says" if result.holds else "Some findings miss theory"
    return figure_page(
        picture.description(),
        title=escape(lab.title),
        header=f"""<p class="kicker">thalweg lab · {escape(lab.name)}</p>
<h1>{escape(lab.title)}</h1>
<p class="verdict">{escape(lab.what)}</p>
<p>{escape(lab.why)}</p>
<p class="hint">Read on: {escape(lab.source)}.</p>""",
        below=f"""<p class="hint">{escape(picture.hint)}</p>
{_legend(result)}{_tiles(result)}
<h2 style="margin-top:26px">{verdict}</h2>
<dl>{"".join(map(_row, result.findings))}</dl>
<h2 style="margin-top:26px">Settings</h2>
<dl>{_settings(result)}</dl>""",
        palette=picture.palette(),
        saved=Saved(
            file=f"lab-{lab.name}",
            columns=("curve", picture.x.title, picture.y.title),
            names=[each.name for each in picture.curves],
            record=result.to_dict(),
        ),
    )


def _legend(result: LabResult) -> str:
    """Return the names of the curves beside their colours: the picture has no room for them on a phone."""
    families = result.picture.families()
    names = "".join(
        f'<span class="name" style="--c:var(--e{place})">{escape(name)}</span> '
        for place, name in enumerate(families)
    )
    return f'<p style="display:flex;flex-wrap:wrap;gap:4px 22px;margin:0">{names}</p>'


def _row(finding: Finding) -> str:
    mark = "holds" if finding.holds else "<b>missed</b>"
    return (
        f"<dt>{escape(finding.name)}</dt><dd>{finding.found:.5g}; theory {finding.theory:.5g} ± "
        f"{finding.within:.2g}: {mark} ({escape(finding.because)})</dd>"
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
