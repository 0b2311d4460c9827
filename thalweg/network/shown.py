"""What a node shows: its words, and for each measure a number as text and as a shade from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MEASURES = {
    "parameters": "parameters",
    "flops": "FLOPs",
    "gradient": "gradient norm",
    "ratio": "update / weight",
}
"""By what nodes may be coloured, with their names; the last two are of a run."""


@dataclass(frozen=True)
class Shade:
    """A measure of one node: as words, and how dark the node is."""

    words: str
    dark: float


def amount(value: float) -> str:
    """Return a number to three figures with a unit.

    >>> amount(650), amount(98304), amount(4.089e9), amount(0)
    ('650', '98.3 k', '4.09 G', '0')
    """
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:g}"


def shape_words(node: Mapping[str, Any], rows: int) -> str:
    """Return the shape of a node's first result for one row of the batch.

    >>> shape_words({"shapes": [[32, 8, 16]]}, 32)
    '8 × 16'
    """
    if not node["shapes"]:
        return ""
    shape = node["shapes"][0]
    own = shape[1:] if len(shape) > 1 and shape[0] == rows else shape
    more = f" (+ {len(node['shapes']) - 1})" if len(node["shapes"]) > 1 else ""
    return " × ".join(map(str, own)) + more


def shades(record: Mapping[str, Any]) -> dict[str, list[Shade | None]]:
    """Return the measures that a graph has, each with a shade for every node, None where it has none.

    Parameters and FLOPs are shaded by the square root of their share of the largest, so that area looks like
    amount; norms and ratios by their logarithm between the least and the largest.
    """
    nodes = record["nodes"]
    found: dict[str, list[Shade | None]] = {}
    for key in ("parameters", "flops"):
        largest = max((node[key] for node in nodes), default=0)
        if largest:
            found[key] = [_share(node[key], largest, key) for node in nodes]
    for key in ("gradient", "ratio"):
        spans = [node["gauges"].get(key) for node in nodes]
        if any(spans):
            found[key] = _logarithmic(spans)
    return found


def _share(value: float, largest: float, key: str) -> Shade | None:
    return Shade(f"{amount(value)} {MEASURES[key]}", math.sqrt(value / largest)) if value else None


def _logarithmic(spans: Sequence[Sequence[float] | None]) -> list[Shade | None]:
    ends = [math.log10(v) for span in spans if span for v in span if v > 0]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = high - low or 1.0
    return [None if span is None else _between(span, low, room) for span in spans]


def _between(span: Sequence[float], low: float, room: float) -> Shade:
    """Return the shade of a node, that of the geometric mean where it stands for several."""
    first, last = span
    words = f"{first:.3g}" if first == last else f"{first:.3g} to {last:.3g}"
    if last <= 0:
        return Shade("0", 0.0)
    middle = (math.log10(first if first > 0 else last) + math.log10(last)) / 2
    return Shade(words, min(max((middle - low) / room, 0.0), 1.0))
