"""Tables as plain text and as HTML, for what is printed and what a notebook shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

Row = Sequence[str]


def aligned(headings: Row, rows: Iterable[Row], left: int = 3) -> list[str]:
    """Return the lines of a table, the headings first; the columns after the first `left` are flush right.

    >>> aligned(("layer", "size"), [("in", "7"), ("out", "12")], left=1)
    ['layer  size', 'in        7', 'out      12']
    """
    cells = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def html_table(headings: Row, rows: Iterable[Row]) -> str:
    """Return a table for notebooks.

    >>> html_table(("layer",), [("a < b",)])
    '<table><thead><tr><th>layer</th></tr></thead><tbody><tr><td>a &lt; b</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
