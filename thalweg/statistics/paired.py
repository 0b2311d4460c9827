"""Tests of two entrants that trained from the same seeds: is the sign of the differences chance?

If neither entrant is faster, each seed's difference could as well have had the other sign. Both tests
sum a score of each seed and count the patterns of signs that give a sum as far from zero: the
difference itself (Fisher's randomization test), or its signed rank (Wilcoxon's), for which a miss
needs no number, only to be worse than any hit.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError, suggest
from thalweg.statistics.times import Array

Test = Literal["wilcoxon", "sign-flip"]
_TESTS = ("wilcoxon", "sign-flip")

EXACT_UP_TO = 14
"""The most seeds for which every pattern of signs is counted: 2^14 = 16384."""


def paired_p(first: ArrayLike, second: ArrayLike, test: Test = "wilcoxon") -> float:
    """Return the two-sided p-value of the hypothesis that two entrants are equally good.

        p = #{signs ε : |Σ εᵢ sᵢ| ≥ |Σ sᵢ|} / 2ⁿ

    exactly, with up to 14 seeds; beyond, over 2^14 patterns, of which one is the observed and the
    others are drawn. No p-value is smaller than 2^(1−n): see `least_p`.

    Args:
        first: a value for each seed, of which smaller is better; infinity is a miss.
        second: the same, of the same seeds.
        test: "wilcoxon", with sᵢ the rank of |dᵢ| with the sign of dᵢ = firstᵢ − secondᵢ (two misses
            tie, with dᵢ = 0, which keeps its rank as Pratt has it; equals share their mean rank),
            or "sign-flip", with sᵢ = dᵢ, for which the values must be finite.

    Source: Fisher (1935), "The Design of Experiments", § 21; Wilcoxon (1945), "Individual comparisons
    by ranking methods"; Pratt (1959), "Remarks on zeros and ties in the Wilcoxon signed rank
    procedures"; Phipson & Smyth (2010), "Permutation p-values should never be zero".

    Raises:
        TaskError: for an unknown test, rows of different lengths, or values that the test does not
            take.

    Example:
        >>> paired_p([10, 11, 13], [20, 25, float("inf")])  # the least that three seeds can give
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
    scores = signed_scores(differences(a, b), test)
    return float(share_as_far(scores[None, :])[0])


def least_p(seeds: int) -> float:
    """Return 2^(1−n), the smallest two-sided p-value that n seeds can give.

    >>> least_p(3), least_p(6)
    (0.25, 0.03125)
    """
    return 2.0 ** (1 - seeds)


def fewest_seeds(comparisons: int, alpha: float = 0.05) -> int:
    """Return the fewest seeds with which one of so many comparisons can survive Holm's correction.

        2^(1−n) · m ≤ α

    >>> fewest_seeds(1), fewest_seeds(15), fewest_seeds(45)  # two, six, ten entrants
    (6, 10, 11)
    """
    return 1 + math.ceil(math.log2(comparisons / alpha) - 1e-12)


def differences(a: Array, b: Array) -> Array:
    """Return a − b, where two misses tie and a miss against a hit is infinitely far."""
    tied = a == b
    result: Array = np.where(tied, 0.0, np.where(tied, 0.0, a) - np.where(tied, 0.0, b))
    if np.isnan(result).any():
        raise TaskError("A value to be compared is NaN. A miss is written as infinity.")
    return result


def signed_scores(difference: Array, test: Test) -> Array:
    """Return the scores of one row of differences, whose sum is the statistic of the test."""
    if test not in _TESTS:
        hint = suggest(str(test), _TESTS) or f" Known are: {', '.join(_TESTS)}."
        raise TaskError(f"No paired test is called {test!r}.{hint}")
    if test == "wilcoxon":
        return _midranks(np.abs(difference)) * np.sign(difference)
    if not np.isfinite(difference).all():
        raise TaskError(
            "The sign-flip test takes finite values: restrict the times to the budget, or use the "
            "test 'wilcoxon', for which a miss is worse than any hit."
        )
    return difference


def share_as_far(scores: Array) -> Array:
    """Return, for each row of scores, the share of sign patterns whose sum is as far from zero."""
    sums = flipped_sums(scores)
    observed = np.abs(scores.sum(axis=-1))
    share: Array = as_far(sums, observed).mean(axis=0)
    return share


def flipped_sums(scores: Array) -> Array:
    """Return |Σ εᵢ sᵢ| of every sign pattern (rows) and row of scores (columns)."""
    sums: Array = np.abs(sign_patterns(scores.shape[-1]) @ scores.T)
    return sums


def as_far(sums: Array, observed: Array) -> Array:
    """Say where sums are as far as the observed ones; rounding must not separate equal sums."""
    return np.asarray(sums >= observed * (1 - 1e-10) - 1e-300, dtype=np.float64)


@lru_cache(maxsize=16)
def sign_patterns(seeds: int) -> Array:
    """Return the sign patterns of n seeds, one a row, the observed one (all +1) first.

    All 2ⁿ with up to `EXACT_UP_TO` seeds; beyond, as many as those have, drawn from a fixed seed, so
    that a race always gives the same p-value.
    """
    count = 2 ** min(seeds, EXACT_UP_TO)
    if seeds <= EXACT_UP_TO:
        bits = np.arange(count)[:, None] >> np.arange(seeds) & 1
    else:
        bits = np.random.default_rng(0).integers(2, size=(count, seeds))
        bits[0] = 0
    signs: Array = 1.0 - 2.0 * bits.astype(np.float64)
    signs.setflags(write=False)
    return signs


def _midranks(sizes: Array) -> Array:
    """Ranks from 1, equals sharing the mean of theirs; rounding must not separate equals."""
    order = np.argsort(sizes, kind="stable")
    ordered = sizes[order]
    finite = np.isfinite(ordered[:-1]) & np.isfinite(ordered[1:])
    gap = np.where(finite, ordered[1:], 0) - np.where(finite, ordered[:-1], 0)
    new = np.where(
        finite, gap > 1e-12 * np.where(finite, ordered[1:], 0), ordered[1:] != ordered[:-1]
    )
    group = np.concatenate([[0], np.cumsum(new)])
    mean_rank = np.bincount(group, np.arange(1.0, len(sizes) + 1)) / np.bincount(group)
    ranks = np.empty(len(sizes))
    ranks[order] = mean_rank[group]
    return ranks
