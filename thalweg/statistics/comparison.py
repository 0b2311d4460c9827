"""Compares every pair of entrants by their times. "Not distinguishable" is an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.interval import Interval
from thalweg.statistics.shared import SharedError
from thalweg.statistics.simultaneous import PairedDifference, paired_differences
from thalweg.statistics.times import Array, censored, restricted

Outcome = Literal["better", "worse", "not distinguishable"]


@dataclass(frozen=True)
class Comparison:
    """The first of two entrants against the second.

    `ratio` is that of the geometric means of their times, below 1 where the first is faster. Its
    interval is one of a set that holds for all pairs at once; it excludes 1 exactly where the outcome is
    "better" or "worse". A miss enters the ratio with the budget, the least that it took: `bound` says
    what that makes of it. `p` is that of the sign-flip test of this pair alone, and `corrected` is
    corrected for all pairs.
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
    tolerance: float = 0.0,
    slack: Mapping[str, float] | None = None,
    errors: Mapping[str, SharedError] | None = None,
) -> tuple[Comparison, ...]:
    """Compare every pair of entrants, over the seeds that they share.

    The tests are sign flips of logarithms of times, a miss at its budget, and all pairs are tested at
    once (see `paired_differences`), whichever of them are looked at afterwards: the first of a race is
    chosen by the data, so comparisons with it alone would need the same correction. Ratios are taken of
    logarithms, so that nothing depends on which entrant comes first.

    Args:
        times: for each entrant its times to the target (or any positive cost), one for each seed, in
            the same order for all; infinity is a miss. Those of several tasks stand side by side.
        budget: the time given, a number or one for each seed.
        alpha: the chance of any false claim, and of any interval without its true ratio, among all pairs.
        tolerance: ratios of up to 1 + tolerance count as equal, and intervals are as much wider: for
            times whose unit is not known exactly.
        slack: for each entrant the logarithm of the ratio by which its time may be shorter than these,
            as in `paired_differences`.
        errors: those that the logarithms of all times of an entrant share, by entrant.

    Raises:
        TaskError: for fewer than two entrants, rows of different lengths, times or a budget that are
            not positive, or a tolerance that is not a finite number of at least 0.

    Example:
        >>> times = {"adam": [10, 12, 11, 13, 12, 10], "sgd": [21, 22, 25, 25, float("inf"), 20]}
        >>> (comparison,) = compare_all(times, budget=30)
        >>> comparison.outcome, round(comparison.ratio.estimate, 2), comparison.bound
        ('better', 0.48, 'at most')
    """
    if not 0 <= tolerance < np.inf:
        raise TaskError(f"A tolerance must be a finite number ≥ 0; got tolerance={tolerance}.")
    rows = _rows(times, budget)
    missed = {name: int(np.isinf(row).sum()) for name, row in rows.items()}
    logs = {name: np.log(restricted(row, budget)) for name, row in rows.items()}
    pairs = paired_differences(
        logs, alpha=alpha, tolerance=float(np.log1p(tolerance)), slack=slack, errors=errors
    )
    return tuple(
        Comparison(
            first=pair.first,
            second=pair.second,
            outcome=outcome_of(pair, alpha),
            p=pair.p,
            corrected=pair.corrected,
            ratio=_ratio(pair, 1 - alpha),
            seeds=len(logs[pair.first]),
            misses=(missed[pair.first], missed[pair.second]),
        )
        for pair in pairs
    )


def outcome_of(pair: PairedDifference, alpha: float) -> Outcome:
    """Return what a pair's corrected p says of the first, where smaller scores are better."""
    if pair.corrected > alpha:
        return "not distinguishable"
    return "better" if pair.estimate < 0 else "worse"


def _ratio(pair: PairedDifference, level: float) -> Interval:
    with np.errstate(over="ignore"):
        estimate, low, high = (float(np.exp(x)) for x in (pair.estimate, pair.low, pair.high))
    return Interval(estimate, low, high, level, pair.attained)


def _rows(times: Mapping[str, ArrayLike], budget: ArrayLike) -> dict[str, Array]:
    rows = {name: censored(row, budget) for name, row in times.items()}
    shapes = {name: row.shape for name, row in rows.items()}
    if len(rows) < 2 or len(set(shapes.values())) > 1 or any(r.ndim != 1 for r in rows.values()):
        raise TaskError(
            "A comparison takes two or more entrants with one time for each of the same seeds, got "
            f"{shapes}."
        )
    return rows
