"""Contour lines of the loss on a plane, and the loss as a small image."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.report.parts.contours import Line, level_lines

Rows = Sequence[Sequence[float | None]]


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


def contour(record: Mapping[str, Any], level: float) -> list[Line]:
    """Return the lines on a plane at which the loss has a value, in its coordinates.

    There is none where nothing was computed.
    """
    rows = [[math.nan if v is None else v for v in row] for row in record["loss"]]
    x, y = np.array(record["xs"]), np.array(record["ys"])
    return level_lines(x, y, np.array(rows, dtype=np.float64), level)


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
