"""Compares every pair of entrants by their times. "Not distinguishable" is an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.correction import joint
from thalweg.statistics.interval import Interval, check_level
from thalweg.statistics.paired import differences, share_as_far
from thalweg.statistics.times import Array, censored, restricted
from thalweg.statistics.typical import mean_interval

Outcome = Literal["better", "worse", "not distinguishable"]
_OUTCOMES: dict[int, Outcome] = {-1: "better", 0: "not distinguishable", 1: "worse"}


@dataclass(frozen=True)
class Comparison:
    """The first of two entrants against the second.

    `ratio` is that of the geometric means of their times, below 1 where the first is faster, with
    the interval of this one comparison. A miss enters it with the budget, the least that it took:
    `bound` says what that makes of the ratio. `p` is that of the sign-flip test and `corrected` is p
    corrected for all comparisons made together, by which the outcome is decided.
    """

    first: str
    second: str
    outcome: Outcome
    p: float
    corrected: float
    ratio: Interval
    seeds: int
    misses: tuple[int, int]

    @property
    def bound(self) -> Literal["exact", "at least", "at most", "unknown"]:
        """What the ratio is, since a miss took at least its budget."""
        first, second = (missed > 0 for missed in self.misses)
        if first and second:
            return "unknown"
        return "at least" if first else "at most" if second else "exact"


def compare_all(
    times: Mapping[str, ArrayLike],
    budget: ArrayLike,
    *,
    alpha: float = 0.05,
    level: float = 0.95,
    tolerance: float = 0.0,
) -> tuple[Comparison, ...]:
    """Compare every pair of entrants, over the seeds that they share.

    The test is the sign-flip test on logarithms of times, a miss at its budget. All pairs are corrected
    for together (see `joint`), whichever of them are looked at afterwards: the best of a race is chosen
    by the data, so comparisons with it alone would need the same correction. Ratios are taken of
    logarithms, so that the test does not depend on which entrant comes first.

    Args:
        times: for each entrant its times to the target (or any positive cost), one for each seed, in
            the same order for all; infinity is a miss. Those of several tasks stand side by side.
        budget: the time given, a number or one for each seed.
        alpha: the chance of any false claim among all pairs. The outcome is "better" or "worse" where
            the corrected p is at most this.
        level: of the interval of each single ratio.
        tolerance: ratios of up to 1 + tolerance count as equal: what is tested is whether they are
            further apart, as for times whose unit is not known exactly.

    Raises:
        TaskError: for fewer than two entrants, rows of different lengths, times or a budget that are
            not positive, or a tolerance that is not a finite number of at least 0.

    Example:
        >>> times = {"adam": [10, 12, 11, 13, 12, 10], "sgd": [21, 22, 25, 25, float("inf"), 20]}
        >>> (comparison,) = compare_all(times, budget=30)
        >>> comparison.outcome, round(comparison.ratio.estimate, 2), comparison.bound
        ('better', 0.48, 'at most')
    """
    check_level(1 - alpha)
    if not 0 <= tolerance < np.inf:
        raise TaskError(f"A tolerance is a finite number ≥ 0; got tolerance={tolerance}.")
    rows = _rows(times, budget)
    spent = {name: restricted(row, budget) for name, row in rows.items()}
    pairs = list(combinations(rows, 2))
    gaps = [differences(np.log(spent[a]), np.log(spent[b])) for a, b in pairs]
    if tolerance:
        gaps = [_nearer(gap, float(np.log1p(tolerance))) for gap in gaps]
    scores = np.array(gaps)
    p, corrected = share_as_far(scores), joint(scores)
    return tuple(
        Comparison(
            first=a,
            second=b,
            outcome=_OUTCOMES[int(np.sign(scores[k].sum())) if corrected[k] <= alpha else 0],
            p=float(p[k]),
            corrected=float(corrected[k]),
            ratio=ratio_interval(spent[a], spent[b], level),
            seeds=scores.shape[-1],
            misses=(int(np.isinf(rows[a]).sum()), int(np.isinf(rows[b]).sum())),
        )
        for k, (a, b) in enumerate(pairs)
    )


def ratio_interval(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Interval:
    """Return the ratio of the geometric means of two rows of finite, paired times.

        exp(mean log firstᵢ − mean log secondᵢ)

    Example:
        >>> ratio = ratio_interval([2, 4, 8], [1, 2, 4])
        >>> round(ratio.estimate, 9), round(ratio.low, 9), ratio.attained
        (2.0, 2.0, 0.75)
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    logs = mean_interval(np.log(a) - np.log(b), level)
    estimate, low, high = (float(np.exp(x)) for x in (logs.estimate, logs.low, logs.high))
    return Interval(estimate, low, high, logs.level, logs.attained)


def difference_interval(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Interval:
    """Return the difference of the means of two paired rows, for metrics whose ratio says nothing.

    Example:
        >>> difference_interval([0.9, 0.8, 0.85], [0.7, 0.65, 0.6]).estimate.__round__(9)
        0.2
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return mean_interval(a - b, level)


def _rows(times: Mapping[str, ArrayLike], budget: ArrayLike) -> dict[str, Array]:
    rows = {name: censored(row, budget) for name, row in times.items()}
    shapes = {name: row.shape for name, row in rows.items()}
    if len(rows) < 2 or len(set(shapes.values())) > 1 or any(r.ndim != 1 for r in rows.values()):
        raise TaskError(
            "A comparison takes two or more entrants with one time for each of the same seeds, got "
            f"{shapes}."
        )
    return rows


def _nearer(gap: Array, tolerance: float) -> Array:
    """Move differences towards zero by their mean, but by no more than the tolerance."""
    moved = gap - np.clip(gap.mean(), -tolerance, tolerance)
    # of differences that were all the same, rounding is left: it has a sign, and must not be tested
    kept: Array = np.where(np.abs(moved) > 1e-12, moved, 0.0)
    return kept
