"""The patterns of signs by which entrants are compared that trained from the same seeds.

If neither of two entrants is faster, the difference of each seed could as well have had the other sign. So
the patterns of signs whose sum is as far from zero as that of the observed ones are counted.

Source: Fisher (1935), "The Design of Experiments", § 21; Phipson & Smyth (2010), "Permutation p-values should
never be zero".
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from thalweg.errors import TaskError
from thalweg.statistics.times import Array

MOST_ENUMERATED_SEEDS = 14
"""The most seeds for which every pattern of signs is counted: 2^14 = 16384."""


def fewest_seeds(alpha: float = 0.05) -> int:
    """Return the fewest seeds with which any two-sided p-value can be as small as α: 2^(1−n) ≤ α.

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
