"""The report of a race: one HTML file that needs nothing else, no network included.

The page holds its style, its script, Plotly and the whole result as JSON, from which the figures
are drawn and which a reader can save. A content security policy forbids the browser to load
anything from elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.report.figures import race_figures
from thalweg.report.offline import POLICY, asset, embedded, plotly
from thalweg.report.palette import colours
from thalweg.report.parts import chips, facts, notes_list, ranking, what_was_run
from thalweg.report.verdict import verdict


def write_race_report(result: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write the report of a race to `path`, whole or not at all, and return the path.

    Args:
        result: what `RaceResult.to_dict()` returns.
        path: the HTML file to write; its folder is made if need be.

    Raises:
        MissingExtraError: if plotly is not installed.
    """
    target = Path(path)
    write_text(target, race_page(result))
    return target


def race_page(result: Mapping[str, Any]) -> str:
    """Return the report of a race as the text of one HTML page."""
    task = escape(result["task"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{task}: a race of optimizers</title>
<style>{asset("page.css")}{_colour_rules(result)}</style>
</head>
<body>
<main>
<header>
<p class="kicker">thalweg race</p>
<h1>Which optimizer trains {task} fastest?</h1>
<p class="verdict">{escape(verdict(result))}</p>
{facts(result)}
</header>
<nav class="chips" aria-label="Entrants shown in the figures">{chips(result)}</nav>
<section class="card">
<h2>Ranking</h2>
{ranking(result)}
{notes_list(result)}
</section>
<section class="card">
<div class="head"><h2>Learning curves</h2>{_curve_views()}</div>
<p class="hint">Each entrant at its best learning rate: the median of its seeds, and their range. \
A curve shows the best value so far; “as measured” shows every ripple.</p>
<div class="chart" id="curves"></div>
</section>
<section class="card">
<div class="head"><h2>Learning-rate sensitivity</h2>{_sensitivity_views(result)}</div>
<p class="hint">Medians over the seeds. The large mark is the rate selected; a triangle says that \
it lies on the edge of its grid.</p>
<div class="chart" id="sensitivity"></div>
</section>
<section class="card">
<h2>What was run</h2>
{what_was_run(result)}
<div class="save"><button data-save="json">Save everything (JSON)</button>\
<button data-save="trials">Save the trials (CSV)</button>\
<button data-save="curves">Save the curves (CSV)</button></div>
<noscript><p>The figures need JavaScript; the table above does not.</p></noscript>
</section>
</main>
<script type="application/json" id="race-data">{embedded(result)}</script>
<script type="application/json" id="race-figures">{embedded(race_figures(result))}</script>
<script>{plotly()}</script>
<script>{asset("page.js")}</script>
</body>
</html>
"""


def _views(chart: str, **labels: str) -> str:
    """Buttons that choose among the views of a chart; the first is shown first."""
    buttons = "".join(
        f'<button data-view="{view}" aria-pressed="{str(index == 0).lower()}">{label}</button>'
        for index, (view, label) in enumerate(labels.items())
    )
    return f'<div class="views" data-chart="{chart}">{buttons}</div>'


def _curve_views() -> str:
    return _views("curves", steps="by steps", seconds="by seconds", measured="as measured")


def _sensitivity_views(result: Mapping[str, Any]) -> str:
    if result["target"] is None:
        return ""
    metric = escape(result["metric"]["name"].replace("_", " "))
    return _views("sensitivity", target="steps to target", final=f"final {metric}")


def _colour_rules(result: Mapping[str, Any]) -> str:
    """CSS variables --e0, --e1, …: the entrants' colours in both schemes."""
    palette = colours([entrant["name"] for entrant in result["entrants"]]).values()
    light = "".join(f"--e{index}:{colour.light};" for index, colour in enumerate(palette))
    dark = "".join(f"--e{index}:{colour.dark};" for index, colour in enumerate(palette))
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
