"""The minimizer of the cubic through two points with their slopes."""

from __future__ import annotations

import math
from typing import NamedTuple


class Sample(NamedTuple):
    """A step length α with φ(α) and φ′(α)."""

    alpha: float
    f: float
    slope: float

    @property
    def defined(self) -> bool:
        """Whether the objective and its slope are finite there."""
        return math.isfinite(self.f) and math.isfinite(self.slope)


def cubic_minimiser(a: Sample, b: Sample, low: float, high: float) -> float:
    """Return where the cubic through `a` and `b` is lowest, within [low, high]; the middle if nowhere.

    Source: Nocedal and Wright, Numerical Optimization, equation 3.59.

    >>> cubic_minimiser(Sample(0.0, 1.0, -2.0), Sample(2.0, 1.0, 2.0), 0.0, 2.0)  # of (α − 1)²
    1.0
    """
    left, right = (a, b) if a.alpha <= b.alpha else (b, a)
    width = right.alpha - left.alpha
    if width > 0:
        first = left.slope + right.slope - 3 * (left.f - right.f) / (left.alpha - right.alpha)
        inside = first * first - left.slope * right.slope
        if inside >= 0:
            root = math.sqrt(inside)
            below = right.slope - left.slope + 2 * root
            if below != 0:
                lowest = right.alpha - width * ((right.slope + root - first) / below)
                if math.isfinite(lowest):  # huge values overflow
                    return min(max(lowest, low), high)
    return (low + high) / 2
