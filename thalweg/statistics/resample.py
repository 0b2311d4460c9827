"""Bootstrap resamples of seeds: all of them where the seeds are few, random ones otherwise.

The seeds are drawn, not the trials: a resample takes all entrants' trials of a seed together, so
that what the entrants share (weights, data order) stays shared. Strata, such as the seeds of each of
several tasks, are drawn from separately.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement, product

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import TaskError
from thalweg.statistics.times import Array

MOST_ENUMERATED_RESAMPLES = 10_000
"""The most resamples that are all listed: 8 seeds have 6435."""


@dataclass(frozen=True, eq=False)
class Resamples:
    """Draws of seeds with replacement.

    `index` has one row of places a draw, `weight` its probability, and `exact` says whether these
    are all draws there are.
    """

    index: NDArray[np.intp]
    weight: Array
    exact: bool


@lru_cache(maxsize=32)
def resamples(strata: tuple[int, ...], draws: int, seed: int) -> Resamples:
    """Return the bootstrap resamples of seeds in strata of the given sizes.

    n values have C(2n − 1, n) resamples that differ in more than order, each with the multinomial
    probability n! / (∏ kᵢ! nⁿ). All are listed if there are at most `MOST_ENUMERATED_RESAMPLES`; else
    `draws` of them are drawn.

    Source: Fisher & Hall (1991), "Bootstrap algorithms for small samples".

    Example:
        >>> every = resamples((3,), draws=1000, seed=0)
        >>> every.exact, len(every.index), every.weight.sum().round(12)
        (True, 10, np.float64(1.0))
    """
    if math.prod(math.comb(2 * n - 1, n) for n in strata) <= MOST_ENUMERATED_RESAMPLES:
        return _all_of(strata)
    rng = np.random.default_rng(seed)
    first = np.cumsum([0, *strata[:-1]])
    index = np.concatenate(
        [start + rng.integers(n, size=(draws, n)) for start, n in zip(first, strata, strict=True)],
        axis=1,
    )
    return Resamples(index, np.full(draws, 1 / draws), exact=False)


def strata_of(seeds: int, strata: Sequence[int] | None) -> tuple[int, ...]:
    """Return the sizes of the strata, one of all seeds if None.

    Raises:
        TaskError: for sizes that do not add up to the number of seeds.
    """
    sizes = (seeds,) if strata is None else tuple(strata)
    if sum(sizes) != seeds or min(sizes, default=0) < 1:
        raise TaskError(f"The strata {sizes} do not divide {seeds} seeds: their sum must be that.")
    return sizes


def _all_of(strata: tuple[int, ...]) -> Resamples:
    parts = []
    start = 0
    for n in strata:
        draws = list(combinations_with_replacement(range(n), n))
        parts.append([(tuple(start + i for i in draw), _probability(draw)) for draw in draws])
        start += n
    joint = list(product(*parts))
    index = np.array([sum((draw for draw, _ in each), ()) for each in joint], dtype=np.intp)
    weight = np.array([math.prod(p for _, p in each) for each in joint])
    return Resamples(index, weight, exact=True)


def _probability(draw: tuple[int, ...]) -> float:
    n = len(draw)
    equal_orders = math.prod(math.factorial(draw.count(value)) for value in set(draw))
    return float(math.factorial(n) / (equal_orders * n**n))
