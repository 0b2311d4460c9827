"""The page of an optimizer: its card with the equation, and its movie beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from thalweg.movies.equation import equation_html
from thalweg.movies.page import surface_movie, write_movie
from thalweg.movies.surfaces import find_surface
from thalweg.movies.walkers import Course
from thalweg.optim.cards.card import Card
from thalweg.report.parts.target import free_page

SURFACE = "rosenbrock"
"""Where the optimizer is shown."""
BESIDE = "sgd"
"""Who walks with it, for comparison."""


def write_card_page(
    card: Card,
    name: str,
    fields: Sequence[tuple[str, str]],
    path: str | os.PathLike[str],
    *,
    over: bool = False,
) -> Path:
    """Write the page of an optimizer, whole or not at all.

    Args:
        card: what is said of it.
        name: what the list of optimizers calls it, in whatever case.
        fields: headings and texts below the equation, such as the paper.
        path: a file that ends in .html.
        over: whether an older one may be replaced.

    Raises TaskError as `free_page` does, and for an optimizer that no page can step.
    """
    page = free_page(path, "The page of an optimizer", "--html", over=over)
    course = Course(find_surface(SURFACE))
    movie = surface_movie(course, list(dict.fromkeys((name.lower(), BESIDE))))
    return write_movie(movie, page, over=over, card=card_html(card, fields))


def card_html(card: Card, fields: Sequence[tuple[str, str]]) -> str:
    """Return a card as HTML: equations and remarks in order, then the fields."""
    body = []
    for block in card.blocks:
        if block.label:
            body.append(f"<p class='hint'>{escape(block.label)}:</p>")
        body.append(
            equation_html(block.text) if block.is_equation else f"<p>{_prose(block.text)}</p>"
        )
    rows = "".join(f"<dt>{escape(head)}</dt><dd>{_prose(text)}</dd>" for head, text in fields)
    return f"""<header class="about">
<p class="kicker">thalweg explain · {escape(card.kind)}</p>
<h1>{escape(card.name)}</h1>
<p class="verdict">{_prose(card.title)}</p>
{"".join(body)}
<dl>{rows}</dl>
<pre class="example">{escape(card.example)}</pre>
</header>"""


def _prose(text: str) -> str:
    """Return a text of a docstring as HTML, with what stands in backticks as code.

    >>> _prose("set `lr` < 1")
    'set <code>lr</code> &lt; 1'
    """
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
