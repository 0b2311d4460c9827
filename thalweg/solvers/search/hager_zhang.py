"""Hager and Zhang's search: brackets closed by secants, which end where the slopes say so."""

from __future__ import annotations

import math
import sys
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from thalweg.solvers.search.cubic import Sample
from thalweg.solvers.search.search import Found, Searching
from thalweg.solvers.search.steps import back

Asking = Generator[float, tuple[float, float], Sample]
Closing = Generator[float, tuple[float, float], tuple[Sample, Sample]]


class _AcceptedError(Exception):
    """A point that fulfils the conditions ends the search wherever it is met."""

    def __init__(self, point: Sample) -> None:
        super().__init__()
        self.point = point


@dataclass(frozen=True)
class HagerZhang:
    """Wolfe's conditions, δ·φ′(0) ≥ (φ(α) − φ(0))/α and φ′(α) ≥ σ·φ′(0), or the approximate ones,
    (2δ − 1)·φ′(0) ≥ φ′(α) ≥ σ·φ′(0) where φ(α) ≤ φ(0) + ε·|φ(0)|.

    Source: Hager and Zhang (2005), A new conjugate gradient method with guaranteed descent and an efficient
    line search, and (2006), Algorithm 851.
    """

    delta: float = 0.1
    sigma: float = 0.9
    epsilon: float = 1e-6
    theta: float = 0.5
    gamma: float = 0.66
    rho: float = 5.0
    most: int = 40

    def __call__(self, f: float, slope: float, first: float) -> Searching:
        """Search from φ(0) and φ′(0), beginning with `first`."""
        run = _Run(self, Sample(0.0, f, slope))
        try:
            yield from run.search(first)
        except _AcceptedError as end:
            return Found(end.point.alpha, True)
        return Found(run.lowest.alpha, False)

    def accepts(self, start: Sample, first: Sample) -> Any:
        """Return whether the conditions hold, or the approximate ones."""
        limit = start.f + self.epsilon * abs(start.f)
        steep = (first.slope >= self.sigma * start.slope) & (first.slope < math.inf)
        lower = first.f - start.f <= self.delta * first.alpha * start.slope
        flat = first.slope <= (2 * self.delta - 1) * start.slope
        return steep & (lower | ((first.f <= limit) & flat))


class _Run:
    """One search, from its start."""

    def __init__(self, rule: HagerZhang, start: Sample) -> None:
        self.rule, self.start, self.lowest = rule, start, start
        self.limit = start.f + rule.epsilon * abs(start.f)
        self.left = rule.most

    def ask(self, alpha: float) -> Asking:
        """Return the point at α; leave the search if it is accepted, or if there have been too many."""
        point = Sample(alpha, *(yield alpha))
        self.left -= 1
        if point.defined:
            if point.f < self.lowest.f:
                self.lowest = point
            if self.rule.accepts(self.start, point):
                raise _AcceptedError(point)
        return point

    def search(self, first: float) -> Generator[float, tuple[float, float], None]:
        """Narrow an interval around a minimum until a point is accepted."""
        a, b = yield from self.bracket(first)
        while self.left > 0 and b.alpha - a.alpha > sys.float_info.epsilon * b.alpha:
            width = b.alpha - a.alpha
            a, b = yield from self.secant2(a, b)
            if b.alpha - a.alpha > self.rule.gamma * width:
                middle = yield from self.ask((a.alpha + b.alpha) / 2)
                a, b = yield from self.update(a, b, middle)

    def bracket(self, first: float) -> Closing:
        """Return a, where the objective falls and is low, and b, where it rises or is high."""
        low, alpha, barrier = self.start, first, None
        while self.left > 0:
            point = yield from self.ask(alpha)
            if not point.defined:
                barrier = alpha
                alpha = back(low, alpha)
            elif point.slope >= 0:
                return low, point
            elif point.f > self.limit:
                return (yield from self.halve(self.start, point))
            else:
                low = point
                alpha = self.rule.rho * alpha if barrier is None else (alpha + barrier) / 2
        return low, low

    def halve(self, a: Sample, b: Sample) -> Closing:
        """Return an interval with opposite slopes within one whose right end is too high."""
        while self.left > 0:
            point = yield from self.ask((1 - self.rule.theta) * a.alpha + self.rule.theta * b.alpha)
            if point.defined and point.slope >= 0:
                return a, point
            if point.defined and point.f <= self.limit:
                a = point
            else:
                b = point
        return a, a

    def update(self, a: Sample, b: Sample, c: Sample) -> Closing:
        """Return the part of [a, b] that is known to hold a minimum, with what c tells."""
        if not a.alpha < c.alpha < b.alpha:
            return a, b
        if not c.defined:
            return (yield from self.halve(a, c))
        if c.slope >= 0:
            return a, c
        if c.f <= self.limit:
            return c, b
        return (yield from self.halve(a, c))

    def secant2(self, a: Sample, b: Sample) -> Closing:
        """Return the interval after two steps of the secant."""
        alpha = _secant(a, b)
        if not a.alpha < alpha < b.alpha:
            return a, b
        c = yield from self.ask(alpha)
        low, high = yield from self.update(a, b, c)
        if c is high:
            alpha = _secant(b, high)
        elif c is low:
            alpha = _secant(a, low)
        else:
            return low, high
        if not low.alpha < alpha < high.alpha:
            return low, high
        c = yield from self.ask(alpha)
        return (yield from self.update(low, high, c))


def _secant(a: Sample, b: Sample) -> float:
    """Return where the line through two slopes is zero."""
    fall = b.slope - a.slope
    return (a.alpha * b.slope - b.alpha * a.slope) / fall if fall else a.alpha
