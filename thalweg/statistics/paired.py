"""The sign-flip test of two entrants that trained from the same seeds.

If neither entrant is faster, the difference of each seed could as well have had the other sign. The
test counts the patterns of signs whose sum is as far from zero as that of the observed ones (Fisher's
randomization test).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.times import Array

MOST_ENUMERATED_SEEDS = 14
"""The most seeds for which every pattern of signs is counted: 2^14 = 16384."""


def paired_p(first: ArrayLike, second: ArrayLike) -> float:
    """Return the two-sided p-value of the hypothesis that two entrants are equally good.

        p = #{signs ε : |Σ εᵢ dᵢ| ≥ |Σ dᵢ|} / 2ⁿ    with dᵢ = firstᵢ − secondᵢ

    exactly, with up to 14 seeds; beyond, over 2^14 patterns, of which one is the observed and the
    others are drawn. No p-value is smaller than 2^(1−n): see `least_p`.

    Args:
        first: a finite value for each seed, of which smaller is better.
        second: the same, of the same seeds.

    Source: Fisher (1935), "The Design of Experiments", § 21; Phipson & Smyth (2010), "Permutation
    p-values should never be zero".

    Raises:
        TaskError: for rows of different lengths, or values that are not finite.

    Example:
        >>> paired_p([10, 11, 13], [20, 25, 30])  # the least that three seeds can give
        0.25
        >>> paired_p([1, 2, 3, 4, 5, 6], [2, 4, 6, 8, 10, 11])
        0.03125
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise TaskError(
            "A paired test takes two rows with the same seeds in the same order, got shapes "
            f"{a.shape} and {b.shape}."
        )
    gap = differences(a, b)
    sums, observed = np.abs(sign_patterns(len(gap)) @ gap), abs(float(gap.sum()))
    # rounding must not separate equal sums
    return float((sums >= observed * (1 - 1e-10) - 1e-300).mean())


def least_p(seeds: int) -> float:
    """Return 2^(1−n), the smallest two-sided p-value that n seeds can give.

    >>> least_p(3), least_p(6)
    (0.25, 0.03125)
    """
    return 2.0 ** (1 - seeds)


def fewest_seeds(alpha: float = 0.05) -> int:
    """Return the fewest seeds with which any p-value can be as small as α: 2^(1−n) ≤ α.

    >>> fewest_seeds(0.05), fewest_seeds(0.01)
    (6, 8)
    """
    return 1 + math.ceil(math.log2(1 / alpha) - 1e-12)


def differences(a: Array, b: Array) -> Array:
    """Return a − b, of finite values.

    Raises:
        TaskError: for a value that is not finite.
    """
    if np.isnan(a).any() or np.isnan(b).any():
        raise TaskError("A value to be compared is NaN. A miss counts with its budget.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise TaskError(
            "The sign-flip test takes finite values: restrict the times to the budget, so that a miss "
            "counts with it."
        )
    difference: Array = a - b
    return difference


@lru_cache(maxsize=16)
def sign_patterns(seeds: int) -> Array:
    """Return the sign patterns of n seeds, one a row, the observed one (all +1) first.

    All 2ⁿ with up to `MOST_ENUMERATED_SEEDS`; beyond, as many as those have, drawn from a fixed seed, so
    that a race always gives the same p-value.
    """
    count = 2 ** min(seeds, MOST_ENUMERATED_SEEDS)
    if seeds <= MOST_ENUMERATED_SEEDS:
        bits = np.arange(count)[:, None] >> np.arange(seeds) & 1
    else:
        bits = np.random.default_rng(0).integers(2, size=(count, seeds))
        bits[0] = 0
    signs: Array = 1.0 - 2.0 * bits.astype(np.float64)
    signs.setflags(write=False)
    return signs
