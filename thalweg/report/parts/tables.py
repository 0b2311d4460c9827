"""Tables of HTML that can be read without a script and sorted with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from thalweg.report.data import text
from thalweg.report.parts.palette import variable

_SORTED_LAST = "9e99"


@dataclass(frozen=True)
class Column:
    """A column's heading, as HTML; `after` stands under it, `left` aligns it to the left."""

    label: str
    left: bool = False
    after: str = ""


def cell(content: str, key: object = None, minor: str = "", *, left: bool = False) -> str:
    """A cell with what its column is sorted by; `minor` is a second, quieter line of HTML."""
    sort_key = _SORTED_LAST if key is None else escape(str(key))
    second = f'<span class="minor">{minor}</span>' if minor else ""
    return f'<td{" class=left" if left else ""} data-key="{sort_key}">{content}{second}</td>'


def sortable(columns: Sequence[Column], rows: Sequence[str], label: str, css: str = "") -> str:
    """A table whose columns can be sorted by their heads, inside a box that scrolls by itself."""
    head = "".join(_head(column) for column in columns)
    kind = f' class="{css}"' if css else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def named(entrant: str) -> str:
    """The name of an entrant with its colour, which the row sets."""
    return f'<span class="name">{escape(entrant)}</span>'


def row(cells: Sequence[str], entrant: str, css: str = "") -> str:
    """A row in the colour of an entrant."""
    kind = f' class="{css}"' if css else ""
    return f'<tr{kind} style="--c:var({variable(entrant)})">{"".join(cells)}</tr>'


def maybe_missed(words: str) -> str:
    """A cost; a miss has a style of its own."""
    return f'<span class="missed">{words}</span>' if words == text.MISSED else words


def heat(
    names: Sequence[str],
    values: Mapping[tuple[str, str], tuple[float | None, str, str]],
    label: str,
) -> str:
    """A table of every name (row) against every other (column).

    `values` gives, for (row, column), how far to tint the cell from −1 (good for the row) to 1, or
    None for no tint, its text, and the words shown when a pointer rests on it.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for name in names:
        cells = "".join(_heat_cell(values.get((name, other))) for other in names)
        rows.append(
            f'<tr style="--c:var({variable(name)})"><th scope="row">{named(name)}</th>{cells}</tr>'
        )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="heat"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _heat_cell(value: tuple[float | None, str, str] | None) -> str:
    if value is None:
        return '<td class="none">·</td>'
    tint, words, title = value
    if tint is None:
        return f'<td class="alike" title="{escape(title)}">{escape(words)}</td>'
    side = "good" if tint < 0 else "bad"
    strength = f"{8 + 42 * min(abs(tint), 1):.0f}%"
    return f'<td class="{side}" style="--h:{strength}" title="{escape(title)}">{escape(words)}</td>'


def _head(column: Column) -> str:
    kind = ' class="left"' if column.left else ""
    return f'<th scope="col"{kind}><button type="button">{column.label}</button>{column.after}</th>'
