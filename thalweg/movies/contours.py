"""Contour lines of a surface over the rectangle that is shown."""

from __future__ import annotations

import numpy as np

from thalweg.movies.surface import Surface
from thalweg.report.parts.contours import Line, level_lines


def levels_of(values: np.ndarray, lowest: float, count: int = 18) -> list[float]:
    """Return heights of contour lines: evenly spaced in log(f − lowest), and between the extremes.

    >>> levels_of(np.array([[1.0, 2.0], [11.0, 101.0]]), 1.0, 2)[0] > 1.0
    True
    """
    above = values[np.isfinite(values)] - lowest
    above = above[above > 0]
    if not len(above):
        return []
    low, high = np.quantile(above, [0.012, 0.985])
    if not low < high:
        return []
    return [float(lowest + x) for x in np.geomspace(low, high, count)]


def contours(surface: Surface, levels: list[float], cells: int = 160) -> list[list[Line]]:
    """Return the lines at each height, in the surface's own units; where f is not finite there is none.

    >>> bowl = Surface("bowl", lambda x, y: x**2 + y**2, (1.0, 1.0), (-2.0, 2.0, -2.0, 2.0))
    >>> (circle,) = contours(bowl, [1.0])[0]
    >>> bool(np.abs(np.hypot(circle[:, 0], circle[:, 1]) - 1).max() < 1e-3)
    True
    """
    x, y, f = surface.grid(cells + 1, cells + 1)
    return [level_lines(x, y, f, level) for level in levels]
