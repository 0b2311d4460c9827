"""The ranked table of a race: for a terminal with colours, and as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thalweg.errors import MissingExtraError
from thalweg.report import text
from thalweg.report.palette import colours

if TYPE_CHECKING:
    from rich.table import Table


_SHORT_EDGE = {"lower edge": "edge", "upper edge": "edge"}


def race_table(result: Mapping[str, Any]) -> Table:
    """Return the ranked table as a `rich` table.

    Raises:
        MissingExtraError: if rich is not installed; `plain_table` needs nothing.
    """
    try:
        from rich import box
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        raise MissingExtraError("rich", "A coloured table") from None
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, padding=(0, 1, 0, 0))
    for index, heading in enumerate(text.headings(result)):
        two_lines = (
            heading.replace(" to ", "\nto ").replace(" rate", "\nrate").replace("final ", "final\n")
        )
        table.add_column(
            two_lines, justify="left" if index in (1, 2) else "right", vertical="bottom"
        )
    palette = colours([entrant["name"] for entrant in result["entrants"]])
    for row in text.rows(result):
        name = Text(row.entrant, style=f"bold {palette[row.entrant].dark}")
        table.add_row(row.rank, name, *(Text(cell) for cell in _cells(row)[2:]))
    return table


def plain_table(result: Mapping[str, Any]) -> str:
    """Return the ranked table as aligned plain text, one line for each entrant."""
    lines = [text.headings(result), *(_cells(row) for row in text.rows(result))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (1, 2) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(row: text.Row) -> list[str]:
    lr = f"{row.lr} ({_SHORT_EDGE.get(row.edge, row.edge)})" if row.edge else row.lr
    final = f"{row.final} ({row.spread})" if row.spread else row.final
    return [row.rank, row.entrant, lr, row.steps, row.seconds, row.reached, final]
