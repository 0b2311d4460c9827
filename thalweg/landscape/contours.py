"""Contour lines of a grid of numbers (marching squares), and the grid as a small image."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence

Rows = Sequence[Sequence[float | None]]
Point = tuple[float, float]


def levels_of(rows: Rows, count: int = 12) -> list[float]:
    """Return the levels of contour lines: equal steps of the scale between low and high values.

    High is the 95th percentile: walls far from the runs would take all the lines.
    """
    values = sorted(v for row in rows for v in row if v is not None and math.isfinite(v))
    if not values or values[0] == values[-1]:
        return []
    low, high = scaled(values[0], values[0]), scaled(_quantile(values, 0.95), values[0])
    step = (high - low) / (count + 1)
    return [unscaled(low + step * (k + 1), values[0]) for k in range(count)] if step > 0 else []


def _quantile(values: Sequence[float], share: float) -> float:
    return values[min(round(share * (len(values) - 1)), len(values) - 1)]


def scaled(value: float, least: float) -> float:
    """Return the logarithm of a loss, or the loss itself where some are not positive."""
    return math.log10(value) if least > 0 else value


def unscaled(value: float, least: float) -> float:
    """Undo `scaled`."""
    return 10.0**value if least > 0 else value


def contour(rows: Rows, level: float) -> list[list[Point]]:
    """Return the lines (column, row) on which a grid has a value, linear between its points.

    Cells with a point that is not there have no line.

    >>> contour([[0, 1], [0, 1]], 0.25)
    [[(0.25, 0.0), (0.25, 1.0)]]
    """
    pieces: list[tuple[Point, Point]] = []
    for i in range(len(rows) - 1):
        for j in range(len(rows[0]) - 1):
            corners = [(j, i), (j + 1, i), (j + 1, i + 1), (j, i + 1)]
            values = [rows[y][x] for x, y in corners]
            known = [v for v in values if v is not None and math.isfinite(v)]
            if len(known) == 4:
                pieces += _in_cell(corners, known, level)
    return _joined(pieces)


def _in_cell(
    corners: Sequence[tuple[int, int]], values: Sequence[float], level: float
) -> list[tuple[Point, Point]]:
    """Return the pieces of a line in one cell; in a saddle, as the mean of the corners says."""
    crossings: list[Point] = []
    for k in range(4):
        (x, y), (to_x, to_y) = corners[k], corners[(k + 1) % 4]
        a, b = values[k], values[(k + 1) % 4]
        if (a < level) != (b < level):
            t = (level - a) / (b - a)
            crossings.append((round(x + t * (to_x - x), 6), round(y + t * (to_y - y), 6)))
    if len(crossings) < 4:
        return [(crossings[0], crossings[1])] if crossings else []
    first_is_low, middle_is_low = values[0] < level, sum(values) / 4 < level
    a, b, c, d = crossings
    return [(a, b), (c, d)] if first_is_low == middle_is_low else [(d, a), (b, c)]


def _joined(pieces: Sequence[tuple[Point, Point]]) -> list[list[Point]]:
    """Return pieces that share ends as lines."""
    ends: dict[Point, list[int]] = {}
    for k, piece in enumerate(pieces):
        for end in piece:
            ends.setdefault(end, []).append(k)
    used: set[int] = set()

    def grow(line: list[Point]) -> None:
        while True:
            ahead = [k for k in ends[line[-1]] if k not in used]
            if not ahead:
                return
            used.add(ahead[0])
            a, b = pieces[ahead[0]]
            line.append(b if a == line[-1] else a)

    lines = []
    for k, (a, b) in enumerate(pieces):
        if k in used:
            continue
        used.add(k)
        line = [a, b]
        grow(line)
        line.reverse()
        grow(line)
        line.reverse()
        lines.append(line)
    return lines


def image_of(rows: Rows, colour: str) -> str:
    """Return a grid as a PNG in a data address: one colour, the more opaque the higher the loss.

    The first row is at the bottom. Where nothing was computed it is clear.
    """
    values = [v for row in rows for v in row if v is not None and math.isfinite(v)]
    least, cap = min(values, default=1.0), _quantile(sorted(values) or [1.0], 0.95)
    low, high = scaled(least, least), scaled(cap, least)
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    raw = bytearray()
    for row in reversed(rows):
        raw.append(0)
        for value in row:
            opaque = 0 if value is None else _opacity(value, least, low, high)
            raw += bytes((red, green, blue, opaque))
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 6, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(raw), 9)), (b"IEND", b""))
    body = b"".join(_part(name, data) for name, data in parts)
    encoded = base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()
    return f"data:image/png;base64,{encoded}"


def _opacity(value: float, least: float, low: float, high: float) -> int:
    if not math.isfinite(value):
        return 235
    share = (scaled(value, least) - low) / (high - low) if high > low else 0.0
    return round(10 + 180 * min(max(share, 0.0), 1.0))


def _part(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
