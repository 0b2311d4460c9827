"""Strategies that start a model, side by side: figures and tables for a notebook, and a page."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.report.data import text
from thalweg.report.parts.offline import asset, framed
from thalweg.report.parts.palette import palette_style
from thalweg.report.plots.depth import depth_lines, depth_svg, palette_of

_FIGURES = {"activation": "log RMS of activations", "gradient": "log RMS of gradients"}
_LONGEST = 1e6
"""Numbers from here on are shown with an exponent."""
_STEPS = (
    " The linear steps are those of gradient descent to half of {}, if the outputs stayed linear in the "
    "parameters: median, least and largest of the seeds."
)
_STYLE = """
.depth { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 18px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 15px; }
th { font-weight: 600; color: var(--faint); }
th, td { padding: 5px 18px 5px 0; text-align: right; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr:last-child td { border-bottom: 0; }
@media (max-width: 560px) {
  th, td { padding-right: 12px; }
  td { white-space: normal; }
}
"""


def plot_starts(record: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write the page of a comparison of starts, whole or not at all: it needs nothing else.

    Args:
        record: what `InitComparison.to_dict()` gives. With "task" the page says its name, with "race" what
            a race of these strategies found: "verdict", "lines" and "notes".
        path: an .html file. Its folder is made if need be.

    Raises:
        ValueError: a path that does not end in .html.
    """
    page = Path(path)
    if page.suffix.lower() != ".html":
        raise ValueError(f"The page must be a file that ends in .html, got {os.fspath(path)!r}.")
    write_text(page, _page(record))
    return page


def starts_html(record: Mapping[str, Any]) -> str:
    """Return the figures and tables of a comparison for a notebook."""
    light = "".join(f"--e{i}:{each.light};" for i, each in enumerate(_palette(record)))
    return (
        f'<div style="{light}"><p>{escape(record["advice"])}</p>'
        f'<div style="display:flex;flex-wrap:wrap">{_figures(record, "flex:1 1 330px;max-width:560px")}'
        f"</div>{_key(record)}{_summary(record)}</div>"
    )


def _palette(record: Mapping[str, Any]) -> list[Any]:
    return palette_of(record["strategies"])


def _figures(record: Mapping[str, Any], style: str = "") -> str:
    return "".join(
        f'<div style="{style}">{depth_svg(depth_lines(record["strategies"], figure), title)}</div>'
        for figure, title in _FIGURES.items()
    )


def _key(record: Mapping[str, Any]) -> str:
    names = "".join(
        f'<li style="font-weight:600"><span style="color:var(--e{place})">━</span> '
        f"{escape(each['strategy'])}</li>"
        for place, each in enumerate(record["strategies"])
    )
    return (
        '<ul style="display:flex;flex-wrap:wrap;gap:4px 20px;list-style:none;padding:0;margin:8px 0">'
        f"{names}</ul>"
    )


def _summary(record: Mapping[str, Any]) -> str:
    constant = record["constant_loss"]
    columns = {
        "strategy": [each["strategy"] for each in record["strategies"]],
        "loss at the start": [_spread(each["loss"], ".3f") for each in record["strategies"]],
    }
    if constant is not None:
        columns[f"above {constant:.4g}"] = [
            _signed(each["loss"]["mean"], constant) for each in record["strategies"]
        ]
    if any(each["drift"] is not None for each in record["strategies"]):
        columns["drift, nats"] = [_spread(each["drift"], "+.2f") for each in record["strategies"]]
    if any(each.get("steps") for each in record["strategies"]):
        columns["linear steps"] = [steps_said(each["steps"]) for each in record["strategies"]]
    return _table(list(columns), list(zip(*columns.values(), strict=True)))


def _by_layer(record: Mapping[str, Any]) -> str:
    """Return a table for each figure: layers as rows, strategies as columns."""
    strategies = record["strategies"]
    last = max(len(each["layers"]) for each in strategies)
    longest = next(each["layers"] for each in strategies if len(each["layers"]) == last)
    parts = []
    for figure, title in _FIGURES.items():
        rows = [
            [
                f"{place + 1}  {longest[place]['layer']}",
                *(
                    _spread(each["layers"][place][figure], "+.2f")
                    if place < len(each["layers"])
                    else ""
                    for each in strategies
                ),
            ]
            for place in range(last)
        ]
        table = _table(["layer", *(each["strategy"] for each in strategies)], rows)
        parts.append(f'<h3 style="margin-top:18px">{title[0].upper()}{title[1:]}</h3>{table}')
    return "".join(parts)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _spread(value: Mapping[str, Any] | None, how: str) -> str:
    if value is None:
        return ""
    if not _is_finite(value["mean"]):
        return "not finite"
    if abs(value["mean"]) >= _LONGEST:
        how = ".3g"
    shown = f"{value['mean']:{how}} ± {value['std']:{how.replace('+', '')}}"
    return shown.replace("-", "−")


def steps_said(steps: Sequence[float | None]) -> str:
    """Return the median of numbers of steps with the least and the largest; None and infinity are "never".

    >>> steps_said([20.2, 31.6, None]), steps_said([math.inf] * 3), steps_said([])
    ('32 (20 to never)', 'never', '')
    """
    if not steps:
        return ""
    known = [math.inf if each is None else each for each in steps]
    low, middle, high = (
        f"{value:.0f}" if value < math.inf else "never"
        for value in (min(known), statistics.median(known), max(known))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def race_said(advice: Sequence[str], best: Sequence[str]) -> str:
    """Return whether a race bears out what was recommended before it.

    Args:
        advice: the recommended start, and those that the seeds do not tell apart from it.
        best: the starts that may be the best by the race.

    >>> race_said(["he", "lsuv"], ["he"]), race_said([], ["he"])
    ('The race bears out the recommendation.', '')
    >>> race_said(["he"], ["lsuv"])
    'The race does not bear out the recommendation: he is not among its best.'
    """
    if not advice or not best:
        return ""
    if advice[0] in best:
        return "The race bears out the recommendation."
    return f"The race does not bear out the recommendation: {advice[0]} is not among its best."


def _signed(value: float | None, zero: float) -> str:
    if value is None or not _is_finite(value):
        return ""
    how = "+.3f" if abs(value) < _LONGEST else "+.3g"
    return f"{value - zero:{how}}".replace("-", "−")


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _page(record: Mapping[str, Any]) -> str:
    task = record.get("task", "")
    race = record.get("race")
    verdict = record["advice"] if race is None else race["verdict"]
    entropy = (
        ""
        if record["constant_loss"] is None
        else (
            f" The best constant output has the loss {record['constant_loss']:.4g}: of classes the entropy "
            "of their shares. A loss far above it says that the outputs begin too large."
        )
    )
    stepped = any(each.get("steps") for each in record["strategies"])
    half_of = "the best constant's loss" if entropy else "the lowest loss of these starts"
    advice = ""
    if race is not None:
        outcome = race_said(record["recommended"], race.get("may_be_best") or ())
        advice = f"<p>{escape(record['advice'])} {escape(outcome)}</p>"
    body = f"""<header>
<p class="kicker">thalweg init{f" · {escape(task)}" if task else ""}</p>
<h1>How the model starts</h1>
<p class="verdict">{escape(verdict)}</p>
</header>
<section class="card">
<h2>Through the layers</h2>
<p class="hint">The logarithm of the root mean square of what each layer gives, and of the gradient there, on
one batch: mean and standard deviation over {record["seeds"]} seeds. A flat line keeps its size.</p>
<div class="depth">{_figures(record)}</div>
{_key(record)}
</section>
{"" if race is None else _race(race)}
<section class="card">
<h2>At the start</h2>
{advice}
<p class="hint">{entropy}{_STEPS.format(half_of) if stepped else ""}</p>
{_summary(record)}
<details style="margin:14px 0"><summary>Layer by layer</summary>{_by_layer(record)}</details>
</section>"""
    return framed(
        body,
        title=f"How {escape(task) or 'a model'} starts",
        style=f"{asset('page.css')}\n{palette_style(_palette(record))}{_STYLE}",
    )


def _race(race: Mapping[str, Any]) -> str:
    lines = "".join(f"<li>{text.typeset(escape(line))}</li>" for line in race["evidence"])
    return f"""<section class="card">
<h2>After some training</h2>
<p class="hint">{escape(race["how"])}</p>
{_table(race["headings"], race["rows"])}
<ul class="notes">{lines}</ul>
</section>"""
