"""A table of text cells, whose width is known before it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

from thalweg.report.data.text import cut

_SHORTEST_NAME = 8


@dataclass(frozen=True)
class TableGrid:
    """A table as words: headings, rows, and the rows before which a new group begins.

    `left` names the columns that are aligned to the left, `name` the one that holds entrants and is
    cut where the table would be too wide. `legend` stands below; `gap` is the number of spaces
    between two columns.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name: int = 0
    left: frozenset[int] = frozenset({0})
    groups: frozenset[int] = frozenset()
    legend: str = ""
    gap: int = 2

    def widths(self) -> list[int]:
        """The width of every column, its heading on two lines."""
        heads = [max(map(len, two_lines(heading))) for heading in self.headings]
        return [max(head, *(len(row[c]) for row in self.rows)) for c, head in enumerate(heads)]

    def total(self) -> int:
        """The width of the whole."""
        return sum(self.widths()) + self.gap * (len(self.headings) - 1)

    def without(self, column: int) -> TableGrid:
        """Return the table without one column, which is to the right of the names."""
        keep = [c for c in range(len(self.headings)) if c != column]
        return replace(
            self,
            headings=tuple(self.headings[c] for c in keep),
            rows=tuple(tuple(row[c] for c in keep) for row in self.rows),
            left=frozenset(keep.index(c) for c in self.left if c != column),
        )

    def within(self, width: int) -> TableGrid:
        """Return the table within a width: with narrower gaps if needed, then with shortened names."""
        if self.total() <= width:
            return self
        if self.gap > 1:
            return replace(self, gap=1).within(width)
        longest = max(self.widths()[self.name] - self.total() + width, _SHORTEST_NAME)
        rows = tuple(
            tuple(cut(cell, longest) if c == self.name else cell for c, cell in enumerate(row))
            for row in self.rows
        )
        return replace(self, rows=rows)


def two_lines(heading: str) -> list[str]:
    """Return a heading on two lines, if it has several words."""
    first, _, rest = heading.partition(" ")
    return [first, rest] if rest else ["", heading]
