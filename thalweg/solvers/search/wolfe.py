"""The search for a point of the strong Wolfe conditions: bracket, then zoom by cubic interpolation."""

from __future__ import annotations

import sys
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from thalweg.solvers.search.cubic import Sample
from thalweg.solvers.search.search import Found, Searching
from thalweg.solvers.search.steps import back, between, beyond


@dataclass(frozen=True)
class Wolfe:
    """φ(α) ≤ φ(0) + c₁·α·φ′(0) and |φ′(α)| ≤ c₂·|φ′(0)|.

    Where φ(α) and φ(0) differ by their rounding only, the slopes decide: (2c₁ − 1)·φ′(0) ≥ φ′(α) stands for
    the first condition (Hager and Zhang, 2005). Where nothing is defined the search goes back. After `most`
    points, or in an interval that is relatively narrower than `narrow`, it ends with the lowest point.

    Source: Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6; the choice of points is that
    of M. Schmidt's minFunc.
    """

    c1: float = 1e-4
    c2: float = 0.9
    most: int = 25
    narrow: float = 1e-9
    rounding: float = 4 * sys.float_info.epsilon

    def __call__(self, f: float, slope: float, first: float) -> Searching:
        """Search from φ(0) and φ′(0), beginning with `first`."""
        start = Sample(0.0, f, slope)
        budget = _Budget(self.most)
        low, high = yield from self._bracket(start, first, budget)
        if high is not None:
            low = yield from self._zoom(start, low, high, budget)
        return Found(low.alpha, low.alpha > 0 and self.holds(start, low))

    def decreases(self, start: Sample, point: Sample) -> Any:
        """Return whether the objective is low enough at `point`."""
        lower = point.f <= start.f + self.c1 * point.alpha * start.slope
        equal = abs(point.f - start.f) <= self.rounding * abs(start.f)
        return lower | (equal & (point.slope <= (2 * self.c1 - 1) * start.slope))

    def holds(self, start: Sample, point: Sample) -> Any:
        """Return whether both conditions hold at `point`."""
        return self.decreases(start, point) & (abs(point.slope) <= -self.c2 * start.slope)

    def accepts(self, start: Sample, first: Sample) -> Any:
        """Return whether both conditions hold at the first point."""
        return self.holds(start, first)

    def _bracket(
        self, start: Sample, first: float, budget: _Budget
    ) -> Generator[float, tuple[float, float], tuple[Sample, Sample | None]]:
        """Return a good point and None, or two points with a good one between them, the lower first."""
        before, alpha, barrier = start, first, None
        while budget.left():
            point = Sample(alpha, *(yield alpha))
            if not point.defined:
                barrier, alpha = alpha, back(before, alpha)
                continue
            rises = before is not start and point.f >= before.f
            if not self.decreases(start, point) or rises:
                return (before, point) if before.f <= point.f else (point, before)
            if abs(point.slope) <= -self.c2 * start.slope:
                return point, None
            if point.slope >= 0:
                return point, before
            before, alpha = point, beyond(before, point, barrier)
        return before, None

    def _zoom(
        self, start: Sample, low: Sample, high: Sample, budget: _Budget
    ) -> Generator[float, tuple[float, float], Sample]:
        """Return a good point between two, or the lower end of what is left of the interval."""
        slow = False
        while budget.left() and abs(high.alpha - low.alpha) > self.narrow * max(
            high.alpha, low.alpha
        ):
            alpha, slow = between(low, high, slow)
            point = Sample(alpha, *(yield alpha))
            if not point.defined:
                high = Sample(
                    alpha, low.f + abs(start.slope) * abs(alpha - low.alpha), abs(start.slope)
                )
            elif not self.decreases(start, point) or point.f >= low.f:
                high = point
            else:
                if abs(point.slope) <= -self.c2 * start.slope:
                    return point
                if point.slope * (high.alpha - low.alpha) >= 0:
                    high = low
                low = point
        return low


class _Budget:
    """How many points may still be asked for."""

    def __init__(self, most: int) -> None:
        self.most = most

    def left(self) -> bool:
        self.most -= 1
        return self.most >= 0
