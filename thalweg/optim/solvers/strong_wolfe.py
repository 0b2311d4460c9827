"""PyTorch's line search for L-BFGS, that of minFunc, which here goes back where nothing is defined."""

from __future__ import annotations

from collections.abc import Generator

from thalweg.solvers.search.cubic import Sample
from thalweg.solvers.search.search import Found, Searching
from thalweg.solvers.search.steps import back, between, beyond

_C1, _C2 = 1e-4, 0.9


class StrongWolfe:
    """Looks for φ(α) ≤ φ(0) + c₁αφ′(0) and |φ′(α)| ≤ c₂|φ′(0)|, step for step as PyTorch does.

    It asks for `most` points at most. `size` is the largest component of the direction: an interval ends
    the search where it moves no component by `narrow`. `alive` are the points that it may still return.
    `thalweg.solvers` has a search that is its own master; this one is for equal trajectories.

    Source: M. Schmidt's minFunc, as PyTorch ports it.
    """

    def __init__(
        self, f: float, slope: float, first: float, *, size: float, narrow: float, most: int
    ) -> None:
        self.start = Sample(0.0, f, slope)
        self.first, self.size, self.narrow, self.left = first, size, narrow, most
        self.alive: tuple[float, ...] = (0.0,)

    def run(self) -> Searching:
        """Return the search, a generator of step lengths."""
        ends, done = yield from self._bracket()
        if done:
            return Found(ends[-1].alpha, True)
        return (yield from self._zoom(ends))

    def _ask(self, alpha: float, *kept: Sample) -> Generator[float, tuple[float, float], Sample]:
        self.left -= 1
        self.alive = (0.0, alpha, *(point.alpha for point in kept))
        return Sample(alpha, *(yield alpha))

    def _bracket(self) -> Generator[float, tuple[float, float], tuple[list[Sample], bool]]:
        """Return two points with one that is good enough between them, or one that is and True."""
        start, before, alpha = self.start, self.start, self.first
        barrier: float | None = None
        rounds = 0
        point = start
        while self.left > 0:
            point = yield from self._ask(alpha, before)
            if not point.defined:
                barrier, alpha = alpha, back(before, alpha)
                continue
            if self._too_high(point) or (rounds > 1 and point.f >= before.f):
                return [before, point], False
            if abs(point.slope) <= -_C2 * start.slope:
                return [point], True
            if point.slope >= 0:
                return [before, point], False
            before, alpha = point, beyond(before, point, barrier)
            rounds += 1
        return [start, before], False

    def _zoom(self, ends: list[Sample]) -> Generator[float, tuple[float, float], Found]:
        """Return what is found between two points."""
        slow = False
        low, high = _lower_first(ends)
        while self.left > 0 and abs(ends[1].alpha - ends[0].alpha) * self.size >= self.narrow:
            alpha, slow = between(ends[0], ends[1], slow)
            point = yield from self._ask(alpha, *ends)
            if not point.defined:
                far = abs(self.start.slope)
                far_f = ends[low].f + far * abs(alpha - ends[low].alpha)
                ends[high] = Sample(alpha, far_f, far)
            elif self._too_high(point) or point.f >= ends[low].f:
                ends[high] = point
                low, high = _lower_first(ends)
            elif abs(point.slope) <= -_C2 * self.start.slope:
                return Found(alpha, True)
            else:
                if point.slope * (ends[high].alpha - ends[low].alpha) >= 0:
                    ends[high] = ends[low]
                ends[low] = point
        return Found(ends[low].alpha, False)

    def _too_high(self, point: Sample) -> bool:
        return point.f > self.start.f + _C1 * point.alpha * self.start.slope


def _lower_first(ends: list[Sample]) -> tuple[int, int]:
    return (0, 1) if ends[0].f <= ends[1].f else (1, 0)
