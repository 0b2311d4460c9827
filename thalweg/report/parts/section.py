"""The parts of a page: a section has a title, a table or a figure, and the data behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from thalweg.report.data import text

Figure = dict[str, Any]
"""What assets/chart.js draws, `data` and `layout` without colours, and `table`, the numbers it shows."""

KEYS = "The arrow keys read its points."
"""How a chart is read without a pointer."""

Choices = Mapping[str, str]
"""The answers to one question about a figure, each with the words on its button."""


@dataclass(frozen=True)
class Section:
    """One card of a page.

    Args:
        key: its name within its part of the page: an anchor, and the name of a saved file.
        title: its heading.
        body: HTML above the figure: a table, or nothing.
        hint: a sentence of HTML under the heading: how to read it.
        choices: the questions of its figure, each a row of buttons, the first of each chosen first.
        figures: the figure of each combination of answers, joined by a space; {"": figure} for one.
        table: the numbers of the body, for saving, where there is no figure.
        tools: further buttons, as HTML.
        alt: what the figure shows, in words, for those who do not see it.
        tall: a figure's height in pixels, if not the usual.
    """

    key: str
    title: str
    body: str = ""
    hint: str = ""
    choices: Sequence[Choices] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    table: Mapping[str, Any] | None = None
    tools: str = ""
    alt: str = ""
    tall: int | None = None


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return the numbers of a figure or a table as they are saved."""
    return {"columns": list(columns), "rows": [list(row) for row in rows]}


def render(section: Section, prefix: str = "", level: int = 2) -> str:
    """Return a section as a card of HTML; `prefix` makes its anchor the page's only one."""
    name = f"{prefix}{section.key}"
    questions = "".join(_question(name, choices) for choices in section.choices)
    saved = section.figures or section.table
    save = f'<button class="csv" data-csv="{name}" title="Save these numbers">CSV</button>'
    tools = f"{questions}{section.tools}{save if saved else ''}"
    hint = f'<p class="hint">{text.unbroken(section.hint)}</p>' if section.hint else ""
    return (
        f'<section class="card" id="{name}" aria-labelledby="{name}-title">'
        f'<div class="head"><h{level} id="{name}-title">{escape(section.title)}</h{level}>'
        f"{f'<div class=tools>{tools}</div>' if tools else ''}</div>"
        f"{hint}{section.body}{_chart(section, name)}</section>"
    )


def _chart(section: Section, name: str) -> str:
    if not section.figures:
        return ""
    height = f' style="--tall:{section.tall}px"' if section.tall else ""
    return (
        f'<div class="chart" id="{name}-chart" data-figure="{name}" role="figure" tabindex="0" '
        f'aria-label="{escape(section.alt or section.title)}" aria-description="{KEYS}"{height}></div>'
        '<noscript><p class="hint">This figure needs JavaScript.</p></noscript>'
    )


def _question(name: str, choices: Choices) -> str:
    buttons = "".join(
        f'<button data-answer="{answer}" aria-pressed="{str(index == 0).lower()}">{escape(words)}'
        "</button>"
        for index, (answer, words) in enumerate(choices.items())
    )
    return f'<div class="views" role="group" data-chart="{name}">{buttons}</div>'
