"""Contour lines of numbers on a grid, by marching over triangles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

Line = np.ndarray
"""The points of one line, (points, 2)."""


def level_lines(x: np.ndarray, y: np.ndarray, f: np.ndarray, level: float) -> list[Line]:
    """Return the lines on which f has a value, linear between its points; none where it is not finite.

    Args:
        x: (columns,), ascending.
        y: (rows,), ascending.
        f: (rows, columns).
        level: the value.

    >>> level_lines(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([[0.0, 1.0]] * 2), 0.25)
    [array([[0.25, 0.  ],
           [0.25, 0.25],
           [0.25, 1.  ]])]
    """
    return _joined(_pieces(x, y, f - level))


def _pieces(x: np.ndarray, y: np.ndarray, f: np.ndarray) -> Iterator[tuple[_End, _End]]:
    """Yield the pieces of the line f = 0, each within a triangle of the grid.

    A cell is cut into two triangles, in which a line has no choice where to go on.
    """
    rows, columns = f.shape
    above = f > 0
    mixed = np.zeros((rows - 1, columns - 1), dtype=bool)
    corners = (above[:-1, :-1], above[:-1, 1:], above[1:, :-1], above[1:, 1:])
    for other in corners[1:]:
        mixed |= corners[0] != other
    finite = np.isfinite(f)
    mixed &= finite[:-1, :-1] & finite[:-1, 1:] & finite[1:, :-1] & finite[1:, 1:]
    for i, j in zip(*map(np.ndarray.tolist, np.nonzero(mixed)), strict=True):
        a, b, c, d = (i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)
        for triangle in ((a, b, c), (a, c, d)):
            ends = [
                _end(x, y, f, p, q)
                for p, q in zip(triangle, (*triangle[1:], triangle[0]), strict=True)
                if above[p] != above[q]
            ]
            if len(ends) == 2:
                yield ends[0], ends[1]


_Corner = tuple[int, int]
_End = tuple[tuple[_Corner, _Corner], tuple[float, float]]
"""The edge of the grid where a piece ends, and the point on it."""


def _end(x: np.ndarray, y: np.ndarray, f: np.ndarray, p: _Corner, q: _Corner) -> _End:
    if q < p:
        p, q = q, p
    share = float(f[p] / (f[p] - f[q]))
    at = (
        float(x[p[1]] + share * (x[q[1]] - x[p[1]])),
        float(y[p[0]] + share * (y[q[0]] - y[p[0]])),
    )
    return (p, q), at


def _joined(pieces: Iterator[tuple[_End, _End]]) -> list[Line]:
    """Join pieces into lines, by the edges that they share."""
    places: dict[object, tuple[float, float]] = {}
    beside: dict[object, list[object]] = defaultdict(list)
    for (a, at_a), (b, at_b) in pieces:
        places[a], places[b] = at_a, at_b
        beside[a].append(b)
        beside[b].append(a)
    lines = []
    # open lines first, from their ends; what is left then is closed
    for first in sorted(beside, key=lambda edge: len(beside[edge])):
        if not beside[first]:
            continue
        line, edge = [places[first]], first
        while beside[edge]:
            after = beside[edge].pop()
            beside[after].remove(edge)
            line.append(places[after])
            edge = after
        lines.append(np.array(line))
    return lines
