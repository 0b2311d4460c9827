"""What an initialization did, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from thalweg.text_table import aligned, html_table

_HEADINGS = (
    "parameter",
    "kind",
    "strategy",
    "fan in",
    "fan out",
    "gain",
    "std before",
    "std after",
)


@dataclass(frozen=True)
class InitRow:
    """One parameter that was set: by which strategy, with which gain, and its spread before and after.

    `std` is the standard deviation of its numbers; of one that has all numbers alike it is 0, and
    `value` is that number.
    """

    name: str
    kind: str
    strategy: str
    fan_in: int | None
    fan_out: int | None
    gain: float | None
    before: float
    after: float
    value: float | None

    def cells(self) -> tuple[str, ...]:
        """The row as text, one cell for each column."""
        fans = ("" if fan is None else str(fan) for fan in (self.fan_in, self.fan_out))
        gain = "" if self.gain is None else f"{self.gain:.4g}"
        after = f"{self.after:.4g}" if self.value is None else f"all {self.value:.4g}"
        return (self.name, self.kind, self.strategy, *fans, gain, f"{self.before:.4g}", after)


@dataclass(frozen=True)
class InitReport:
    """What was set and what was left as it was; `str` gives a table, a notebook shows one.

    `by` says how what is behind a layer was found, `unfound` where nothing was.
    """

    rows: tuple[InitRow, ...]
    untouched: tuple[str, ...]
    by: str
    unfound: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = aligned(_HEADINGS, (row.cells() for row in self.rows))
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self.sentences()])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        said = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.sentences())
        return html_table(_HEADINGS, (row.cells() for row in self.rows)) + said

    def sentences(self) -> list[str]:
        """What is to be said below the table."""
        said = [f"Left as they were: {', '.join(self.untouched)}."] if self.untouched else []
        said.append(f"What is behind a layer was found by {self.by}.")
        if self.unfound:
            said.append(f"Not found for {', '.join(self.unfound)}.")
        return [*said, *self.remarks]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "rows": [dict(vars(row)) for row in self.rows],
            "untouched": list(self.untouched),
            "by": self.by,
            "unfound": list(self.unfound),
            "remarks": list(self.remarks),
        }
