"""A page with one figure, that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from thalweg.numeric import without_nonfinite
from thalweg.report.parts.offline import asset, chart_scripts, framed
from thalweg.report.parts.palette import Colour, palette_style
from thalweg.report.parts.section import KEYS


@dataclass(frozen=True)
class Saved:
    """What the buttons of a page save: the figure's points as CSV, and `record` as JSON.

    `file` is the name of both files without its ending, `columns` the heads of the CSV: of the
    curve's name, of x and of y. `names` are the curves', which the figure has escaped.
    """

    file: str
    columns: tuple[str, str, str]
    names: Sequence[str]
    record: Mapping[str, Any]


def figure_page(
    figure: Mapping[str, Any],
    *,
    title: str,
    header: str,
    below: str,
    palette: Sequence[Colour],
    saved: Saved,
    tall: int | None = None,
    above: str = "",
    script: str = "",
) -> str:
    """Return the text of a page: a header, the figure, and what stands below it.

    Args:
        figure: its `data` and `layout`. A trace takes the colour of its place in the palette, or
            of the number in its `meta`.
        title: of the window, escaped.
        header: HTML above the figure.
        below: HTML below it, such as a list that can be read without JavaScript.
        palette: the colours in the light and the dark scheme.
        saved: what its buttons save.
        tall: the figure's height in pixels, if not the usual.
        above: HTML between the header and the figure.
        script: JavaScript that runs last. It may send the document an event "figure", whose detail has a
            `figure`, `names` and a `record` to be shown and saved instead of those here.
    """
    height = f' style="--tall:{tall}px"' if tall else ""
    body = f"""<header>
{header}
</header>
<section class="card">
{above}<div class="chart" role="figure" tabindex="0" aria-label="{title}" \
aria-description="{KEYS}"{height}></div>
{below}
<div class="save"><button type="button" data-save="csv" title="The points of the figure">CSV</button>\
<button type="button" data-save="json" title="All of it">JSON</button></div>
<noscript><p>The figure needs JavaScript; the list above does not.</p></noscript>
</section>"""
    return framed(
        body,
        title=title,
        style=f"{asset('page.css')}\n{palette_style(palette)}",
        data={"figure": figure, "saved": without_nonfinite(asdict(saved))},
        scripts=[
            *chart_scripts(),
            asset("save.js"),
            asset("one_figure.js"),
            *([script] if script else []),
        ],
    )
