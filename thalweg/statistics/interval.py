"""An estimate with its interval, and the interval of a median that needs no assumption."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.times import censored


@dataclass(frozen=True)
class Interval:
    """An estimate, and the range that covers the true value in a share `level` of all races.

    `attained` is the share that the range can really claim. It is below `level` where there are too
    few seeds: no range between the smallest and the largest of n values covers their centre more
    often than 1 − 2^(1−n), which is 75 % with three seeds, 94 % with five, 97 % with six. It is 0 where
    there is no interval.

    Example:
        >>> Interval(2.0, 1.5, 2.5, level=0.95, attained=0.75).too_few
        True
        >>> 1.0 in Interval(2.0, 1.5, 2.5, level=0.95, attained=0.95)
        False
    """

    estimate: float
    low: float
    high: float
    level: float
    attained: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def too_few(self) -> bool:
        """Whether there are too few seeds for the level asked for."""
        return self.attained < self.level


def attainable(seeds: int) -> float:
    """Return 1 − 2^(1−n), the most that a range between the extremes of n values can claim.

    All n values lie on the same side of their distribution's median with probability 2 · 2^(−n).

    >>> attainable(3), attainable(6)
    (0.75, 0.96875)
    """
    return 1 - 2.0 ** (1 - seeds)


def median_interval(times: ArrayLike, level: float = 0.95) -> Interval:
    """Return the median of times, with the interval of order statistics [x₍ₖ₎, x₍ₙ₊₁₋ₖ₎].

        coverage = 1 − 2 P(Binomial(n, ½) ≤ k − 1) ≥ level    with the greatest such k

    It holds for every distribution, with misses too: where x₍ₙ₊₁₋ₖ₎ is a miss there is no upper
    bound. With too few seeds it is the whole range, and `attained` says what that covers.

    Source: Thompson (1936), "On confidence ranges for the median and other expectation
    distributions for populations of unknown distribution form".

    Raises:
        TaskError: for times that are not one row of positive numbers, or a level outside (0, 1).

    Example:
        >>> median_interval([10, 11, 12, 13, 14, float("inf")])
        Interval(estimate=12.5, low=10.0, high=inf, level=0.95, attained=0.96875)
    """
    check_level(level)
    ordered = np.sort(censored(times))
    if ordered.ndim != 1:
        raise TaskError(f"A median is taken of one row of times, got shape {ordered.shape}.")
    n = len(ordered)
    k, attained = 1, attainable(n)
    for deeper in range(2, (n + 1) // 2 + 1):
        coverage = 1 - 2 * sum(math.comb(n, i) for i in range(deeper)) / 2**n
        if coverage < level:
            break
        k, attained = deeper, coverage
    low, high = ordered[k - 1], ordered[n - k]
    return Interval(float(np.median(ordered)), float(low), float(high), level, attained)


def check_level(level: float) -> None:
    """Raise a TaskError unless the level is a share between 0 and 1."""
    if not 0 < level < 1:
        raise TaskError(
            f"The level of an interval lies between 0 and 1, as 0.95 does; got {level}."
        )
