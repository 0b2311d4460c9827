"""A page with one figure, that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.report.offline import POLICY, asset, embedded, plotly
from thalweg.report.palette import Colour


def figure_page(
    figure: Mapping[str, Any], *, title: str, header: str, below: str, palette: Sequence[Colour]
) -> str:
    """Return the text of a page: a header, the figure, and what stands below it.

    Args:
        figure: Plotly's, as a dictionary. A trace takes the colour of its place in the palette, or
            of the number in its `meta`.
        title: of the window, escaped.
        header: HTML above the figure.
        below: HTML below it, such as a list that can be read without JavaScript.
        palette: the colours in the light and the dark scheme.
    """
    light = "".join(f"--e{i}:{colour.light};" for i, colour in enumerate(palette))
    dark = "".join(f"--e{i}:{colour.dark};" for i, colour in enumerate(palette))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>{asset("page.css")}
:root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>
</head>
<body>
<main>
<header>
{header}
</header>
<section class="card">
<div class="chart"></div>
{below}
<noscript><p>The figure needs JavaScript; the list above does not.</p></noscript>
</section>
</main>
<script type="application/json" id="figure">{embedded(figure)}</script>
<script>{plotly()}</script>
<script>{asset("one_figure.js")}</script>
</body>
</html>
"""
