"""Axes and marks that the figures share, as plain values without colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.report.data import text

_MARKS = (1, 2, 5)
MOST_DECADES = 12
"""The most decades of which each has a tick."""


def log_axis(values: Sequence[float], room: float = 0.0) -> dict[str, Any]:
    """A logarithmic axis over positive values, with few, round ticks; `room` widens it at both ends,
    as a share of its length.
    """
    positive = [value for value in values if value > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    if high - low < 0.05:  # equal values still need an axis of some length
        low, high = low - 0.1, high + 0.1
    widened = [low - room * (high - low), high + room * (high - low)]
    ticks = log_ticks(10 ** widened[0], 10 ** widened[1])
    return {
        "type": "log",
        "range": widened,
        "tickvals": ticks,
        "ticktext": [text.number(tick) for tick in ticks],
    }


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers within a range: 1, 2 and 5 of each decade, or of a long one only 1.

    >>> log_ticks(0.9, 12), log_ticks(1e-4, 10)
    ([1, 2, 5, 10], [0.0001, 0.001, 0.01, 0.1, 1, 10])
    >>> log_ticks(110, 190)  # within less than an octave, finer ones
    [120, 140, 160, 180]
    >>> log_ticks(1, 1e30)  # over many decades, every k-th
    [1, 1000, 1000000, 1000000000, 1000000000000, 1000000000000000, 1e+18, 1e+21, 1e+24, 1e+27, 1e+30]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = _MARKS if math.log10(high / low) < 3.2 else (1,)
    every = -(-len(decades) // MOST_DECADES)
    ticks = [float(f"{mark}e{d}") for d in decades if d % every == 0 for mark in marks]
    inside = [tick for tick in ticks if low / 1.001 <= tick <= high * 1.001]
    if len(inside) < 3 and marks == _MARKS:
        inside = even_ticks(low, high)
    return [int(tick) if tick.is_integer() and tick < 1e16 else tick for tick in inside]


def rate_axis(rates: Sequence[float]) -> dict[str, Any]:
    """The axis of learning rates: a tick a decade."""
    axis = log_axis(rates or [1.0])
    low, high = axis["range"]
    decades = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    ticks = [10.0**decade for decade in decades] if len(decades) > 1 else axis["tickvals"]
    return {
        "title": {"text": "learning rate"},
        "type": "log",
        "range": [low - 0.15, high + 0.15],
        "tickvals": ticks,
        "ticktext": [text.number(tick) for tick in ticks],
    }


def mark_target(layout: dict[str, Any], target: Mapping[str, Any] | None) -> None:
    """Draw the target, where there is one, as a dotted line over the whole width."""
    if target is None:
        return
    # an annotation on a logarithmic axis is placed by its exponent, a shape by its value
    log = layout["yaxis"].get("type") == "log"
    height = math.log10(target["value"]) if log else target["value"]
    layout["shapes"] = [
        {
            "xref": "paper", "x0": 0, "x1": 1,
            "y0": target["value"], "y1": target["value"],
            "line": {"width": 1.2, "dash": "dot"},
        }
    ]  # fmt: skip
    layout["annotations"] = [
        {
            "xref": "paper", "x": 0, "xanchor": "left", "xshift": 6, "y": height,
            "yanchor": "bottom", "text": "target",
        }
    ]  # fmt: skip


def even_ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers within a range, evenly apart.

    >>> even_ticks(-0.013, 0.004)
    [-0.01, -0.005, 0.0]
    """
    size = 10 ** math.floor(math.log10((high - low) / 3))
    step = next(
        size * mark for mark in (10, 5, 2, 1) if (high - low) / (size * mark) >= 2.2 or mark == 1
    )
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def round_step(length: float) -> float:
    """Return 1, 2 or 5 times a power of ten that goes into a length five times at most.

    >>> round_step(50), round_step(2.2)
    (10.0, 0.5)
    """
    size = 10.0 ** math.floor(math.log10(length / 5))
    return next(mark * size for mark in (1, 2, 5, 10) if mark * size >= length / 5)
