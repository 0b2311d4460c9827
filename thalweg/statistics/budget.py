"""The result that is to be expected of tuning with fewer trials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import TaskError
from thalweg.statistics.interval import check_level
from thalweg.statistics.times import Array

_MOST_SETS = 2000
"""Sets of trials that are looked at for one budget: 13 trials have no more of any size."""


@dataclass(frozen=True, eq=False)
class BudgetCurve:
    """The result of tuning with k of the n trials, for k = 1, …, n.

    `low` and `high` enclose the result in a share `level` of all choices of k trials. They say how
    much luck there is in the choice, not how well n trials represent all there might be: at k = n
    they meet. `missed` is the share of the choices that miss the target.
    """

    trials: Array
    expected: Array
    low: Array
    high: Array
    missed: Array
    level: float


def budget_curve(
    results: ArrayLike,
    *,
    selected_by: ArrayLike | None = None,
    drawn: int | None = None,
    level: float = 0.9,
) -> BudgetCurve:
    """Return the expected result of the best of k trials, drawn from n without replacement.

        E_k = mean over sets A of k trials of  median over folds f of  r[f, argmin over A of b[f, ·]]

    Fold f leaves out a seed: b[f] is what trials are chosen by, from the other seeds, and r[f] what they
    gave on the seed that was left out. Judged by the seeds that chose, a trial looks better than it is, the
    more so the more there are to choose from. The sets are all there are, or many drawn from a fixed seed.

    Trials beyond the first `drawn` were placed by the results of those before, and are not a random draw: a
    set of more than `drawn` trials holds all of these, and then as many of the others, in their order.

    Args:
        results: of (folds, trials), or one row. Infinity is a miss: the expectation is infinite as long as
            all k may miss.
        selected_by: of the same shape; the least is chosen, of equals the first. None: the results.
        drawn: how many trials count as drawn at random; None: all.
        level: of the range.

    Source: Dodge et al. (2019), "Show Your Work: Improved Reporting of Experimental Results", corrected
    by Tang et al. (2020), "Showing Your Work Doesn't Always Work"; Stone (1974), "Cross-validatory choice
    and assessment of statistical predictions".

    Raises:
        TaskError: for tables of different shapes, NaN, or so many drawn trials as there are not.

    Example:
        >>> curve = budget_curve([3.0, 1.0, 2.0])
        >>> curve.expected.round(3), curve.high
        (array([2.   , 1.333, 1.   ]), array([3., 2., 1.]))
        >>> budget_curve([[4, 3], [5, 9]], selected_by=[[2, 1], [2, 1]]).expected
        array([5.25, 6.  ])
    """
    check_level(level)
    r = np.atleast_2d(np.asarray(results, dtype=np.float64))
    by = r if selected_by is None else np.atleast_2d(np.asarray(selected_by, dtype=np.float64))
    if r.ndim != 2 or not r.size or by.shape != r.shape or np.isnan(r).any() or np.isnan(by).any():
        raise TaskError(
            "A budget curve takes one number for each trial, in each fold if there are several, none of "
            "them NaN (a miss is infinity), and as many to select by; got shapes "
            f"{np.shape(results)} and {by.shape if selected_by is None else np.shape(selected_by)}."
        )
    n = r.shape[1]
    first = n if drawn is None else drawn
    if not 1 <= first <= n:
        raise TaskError(f"Of {n} trials between 1 and {n} are drawn, got drawn={drawn}.")
    each = [_results(r, by, sets) for sets in _sets(n, first)]
    low, high = (
        np.array([found[math.ceil(share * len(found) - 1e-9) - 1] for found in each])
        for share in ((1 - level) / 2, (1 + level) / 2)
    )
    return BudgetCurve(
        trials=np.arange(1.0, n + 1),
        expected=np.array([found.mean() for found in each]),
        low=low,
        high=high,
        missed=np.array([np.isinf(found).mean() for found in each]),
        level=level,
    )


def _results(results: Array, by: Array, sets: NDArray[np.intp]) -> Array:
    """The median over the folds of what the best of each set gave, in ascending order."""
    gave = []
    for row, chosen_by in zip(results, by, strict=True):
        best = chosen_by[sets].argmin(axis=1)
        gave.append(row[np.take_along_axis(sets, best[:, None], axis=1)[:, 0]])
    ordered: Array = np.sort(np.median(gave, axis=0))
    return ordered


@lru_cache(maxsize=16)
def _sets(n: int, drawn: int) -> tuple[NDArray[np.intp], ...]:
    """For k = 1, …, n the sets of k trials, one a row."""
    rng = np.random.default_rng(0)
    sets = []
    for k in range(1, drawn + 1):
        if math.comb(drawn, k) <= _MOST_SETS:
            sets.append(np.array(list(combinations(range(drawn), k)), dtype=np.intp))
        else:
            keys = rng.random((_MOST_SETS, drawn))
            sets.append(np.sort(np.argsort(keys, axis=1)[:, :k], axis=1))
    return (*sets, *(np.arange(k, dtype=np.intp)[None, :] for k in range(drawn + 1, n + 1)))
