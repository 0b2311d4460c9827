"""A range test in a terminal: the median loss as bars over the learning rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_EIGHTHS = " ▁▂▃▄▅▆▇█"
BARS_WIDTH = 72
HEIGHT = 6


def range_bars(record: Mapping[str, Any]) -> list[str]:
    """Return lines of text: the smoothed median loss as bars, the decades below, and the suggestion.

    What lies above the first loss is cut off; where no sweep went there is no bar.

    >>> record = {"rates": [0.01, 0.1, 1.0], "curve": [3.0, 1.0], "start": 3.0, "suggestion": 0.1}
    >>> print("\\n".join(line.strip() for line in range_bars(record)[-2:]))
    0.01                                0.1                                1
    ▲ lr 0.1
    """
    rates, curve, start = record["rates"], record["curve"], record["start"]
    first, last = math.log10(rates[0]), math.log10(rates[-1])
    values = [
        _at(first + (last - first) * column / (BARS_WIDTH - 1), rates, curve)
        for column in range(BARS_WIDTH)
    ]
    seen = [value for value in values if value is not None]
    low = min([*seen, start])
    span = (start - low) or 1.0
    # the lowest value still shows, as one eighth
    levels = [
        0 if value is None else 1 + round((min(value, start) - low) / span * (HEIGHT * 8 - 1))
        for value in values
    ]
    lines = [_row(levels, row) for row in reversed(range(HEIGHT))]
    lines[0] = f"{start:>9.3g}  {lines[0]}"
    lines[1:-1] = [f"{'':11}{line}" for line in lines[1:-1]]
    lines[-1] = f"{low:>9.3g}  {lines[-1]}"
    lines.append(f"{'':11}{_decades(first, last)}")
    if record["suggestion"] is not None:
        lines.append(f"{'':11}{_pointer(record['suggestion'], first, last)}")
    return lines


def _at(decade: float, rates: Sequence[float], curve: Sequence[float]) -> float | None:
    """Return the interpolated value of the curve, or None beyond its ends."""
    known = [math.log10(rate) for rate in rates[: len(curve)]]
    for left, right, low, high in zip(known, known[1:], curve, curve[1:], strict=False):
        if decade <= right + 1e-9:
            share = (decade - left) / (right - left)
            return low + min(max(share, 0.0), 1.0) * (high - low)
    return None


def _row(levels: Sequence[int], row: int) -> str:
    return "".join(_EIGHTHS[min(max(level - 8 * row, 0), 8)] for level in levels)


def _column(decade: float, first: float, last: float) -> int:
    return round((decade - first) / (last - first) * (BARS_WIDTH - 1))


def _decades(first: float, last: float) -> str:
    """Return the powers of ten at their columns, as many as have room."""
    line, free = [" "] * (BARS_WIDTH + 8), 0
    for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1):
        label, column = f"{10.0**power:g}", _column(power, first, last)
        if column >= free:
            line[column : column + len(label)] = label
            free = column + len(label) + 2
    return "".join(line).rstrip()


def _pointer(suggestion: float, first: float, last: float) -> str:
    column = _column(math.log10(suggestion), first, last)
    label = f"lr {suggestion:g}"
    if column + 2 + len(label) <= BARS_WIDTH + 8:
        return f"{'':{column}}▲ {label}" if column else f"▲ {label}"
    return f"{label} ▲".rjust(column + 1)
