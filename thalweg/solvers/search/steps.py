"""Which points searches try next: back from one, beyond one, between two.

Source of the last two: M. Schmidt's minFunc, whose choices PyTorch's L-BFGS has, too.
"""

from __future__ import annotations

from thalweg.solvers.search.cubic import Sample, cubic_minimiser

_BACK = 0.2
"""How much of the way back to the last point is left, where the objective is not defined."""
_MARGIN = 0.1
"""What part of an interval is kept from its ends."""


def back(before: Sample, alpha: float) -> float:
    """Return a step length on the way back from α, where nothing is defined, to the last point."""
    return before.alpha + _BACK * (alpha - before.alpha)


def beyond(before: Sample, point: Sample, barrier: float | None) -> float:
    """Return a step length beyond `point`: the cubic's minimizer, at most ten times as far.

    `barrier` is a step length where nothing was defined; then it is at most half of the way there.
    """
    nearest, farthest = point.alpha + 0.01 * (point.alpha - before.alpha), 10 * point.alpha
    if barrier is not None:
        farthest = (point.alpha + barrier) / 2
        nearest = min(nearest, farthest)
    return cubic_minimiser(before, point, nearest, farthest)


def between(a: Sample, b: Sample, slow: bool) -> tuple[float, bool]:
    """Return a step length between two points: the cubic's minimizer, and whether it is close to an end.

    That is allowed once; if the last one was (`slow`), or if it is not inside, it keeps a tenth from the end.
    """
    left, right = min(a.alpha, b.alpha), max(a.alpha, b.alpha)
    alpha = cubic_minimiser(a, b, left, right)
    margin = _MARGIN * (right - left)
    if min(right - alpha, alpha - left) >= margin:
        return alpha, False
    if not (slow or alpha >= right or alpha <= left):
        return alpha, True
    nearer_right = abs(alpha - right) < abs(alpha - left)
    return (right - margin if nearer_right else left + margin), False
