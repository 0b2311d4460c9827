"""The interval that belongs to the sign-flip test: Hartigan's typical values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.interval import Interval, check_level
from thalweg.statistics.paired import sign_patterns
from thalweg.statistics.times import Array


def mean_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of paired differences, with an interval that covers exactly.

    For values that are symmetric about θ, the means of all 2ⁿ − 1 subsets of them cut the line into
    2ⁿ pieces, each of which holds θ with the same probability. So

        [m₍ₖ₎, m₍₂ⁿ₋ₖ₎]   covers   1 − 2k / 2ⁿ,   with k = max(1, ⌊(1 − level) 2ⁿ / 2⌋).

    It holds no zero where the sign-flip test gives p ≤ 2k / 2ⁿ: test and interval say the same. Beyond
    14 seeds the subsets are those of the test. It is the bootstrap for few seeds: subsets instead of
    resamples, and a level that is kept with six seeds as with sixty.

    Source: Hartigan (1969), "Using subsample values as typical values".

    Raises:
        TaskError: for differences that are not one row of finite numbers.

    Example:
        >>> mean_interval([1.0, 2.0, 4.0, 3.0, 2.0, 6.0])
        Interval(estimate=3.0, low=1.0, high=6.0, level=0.95, attained=0.96875)
    """
    check_level(level)
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or not d.size or not np.isfinite(d).all():
        raise TaskError(f"A mean is taken of one row of finite numbers, got {differences!r}.")
    means = np.sort(_subset_means(d))
    pieces = len(means) + 1
    k = max(1, int((1 - level) * pieces / 2 + 1e-9))
    # one seed has one subset: its range is a point, which covers with probability zero
    low, high = float(means[k - 1]), float(means[pieces - 1 - k])
    return Interval(float(d.mean()), low, high, level, 1 - 2 * k / pieces)


def _subset_means(d: Array) -> Array:
    flipped = (1 - sign_patterns(len(d))[1:]) / 2
    members = flipped.sum(axis=1)
    # a drawn pattern that flips nobody is all but impossible beyond 14 seeds; it holds no mean
    means: Array = (flipped @ d)[members > 0] / members[members > 0]
    return means
