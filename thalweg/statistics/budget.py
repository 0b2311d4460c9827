"""The result that is to be expected of tuning with fewer trials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.interval import check_level
from thalweg.statistics.times import Array


@dataclass(frozen=True, eq=False)
class BudgetCurve:
    """The result of tuning with k of the n trials, for k = 1, …, n.

    `low` and `high` enclose the result in a share `level` of all choices of k trials. They say how
    much luck there is in the choice, not how well n trials represent all there might be: at k = n
    they meet.
    """

    trials: Array
    expected: Array
    low: Array
    high: Array
    level: float


def budget_curve(
    results: ArrayLike,
    *,
    selected_by: ArrayLike | None = None,
    mode: Literal["min", "max"] = "min",
    level: float = 0.9,
) -> BudgetCurve:
    """Return the expected result of the best of k trials, drawn from n without replacement.

        E_k = Σᵢ wᵢ(k) r₍ᵢ₎,    wᵢ(k) = C(n − i, k − 1) / C(n, k)

    with the trials sorted from the best (i = 1) to the worst: the i-th is chosen when it is drawn
    and the other k − 1 come from the n − i worse ones. Without replacement the estimate is unbiased;
    with it, the plug-in of Dodge et al. is too pessimistic. Trials that tie share their weights.

    Args:
        results: one for each trial. Infinity is a miss: the expectation is infinite as long as all k
            may miss; give times restricted to the budget for one that is finite.
        selected_by: what the best is chosen by, if not by the result itself: chosen by validation on
            some seeds and judged on others.
        mode: whether the least ("min") or the greatest ("max") is the best.
        level: of the range.

    Source: Dodge et al. (2019), "Show Your Work: Improved Reporting of Experimental Results",
    corrected by Tang et al. (2020), "Showing Your Work Doesn't Always Work".

    Raises:
        TaskError: for results that are not one row of numbers, or a mode that does not exist.

    Example:
        >>> curve = budget_curve([3.0, 1.0, 2.0])
        >>> curve.expected.round(3), curve.high
        (array([2.   , 1.333, 1.   ]), array([3., 2., 1.]))
    """
    check_level(level)
    r = np.asarray(results, dtype=np.float64)
    by = r if selected_by is None else np.asarray(selected_by, dtype=np.float64)
    if r.ndim != 1 or not r.size or by.shape != r.shape or np.isnan(r).any() or np.isnan(by).any():
        raise TaskError(
            "A budget curve takes one number for each trial, none of them NaN (a miss is infinity), "
            f"and as many to select by; got shapes {r.shape} and {by.shape}."
        )
    if mode not in ("min", "max"):
        raise TaskError(f"The best result is the 'min' or the 'max', got mode={mode!r}.")
    order = np.argsort(by if mode == "min" else -by, kind="stable")
    weights = _shared(_weights(len(r)), by[order])
    low, high = _ranges(r[order], weights, level)
    return BudgetCurve(np.arange(1.0, len(r) + 1), _sums(weights, r[order]), low, high, level)


def _weights(n: int) -> Array:
    """wᵢ(k), one row for each k, from integers, so that nothing overflows."""
    return np.array(
        [
            [math.comb(n - i, k - 1) / math.comb(n, k) for i in range(1, n + 1)]
            for k in range(1, n + 1)
        ]
    )


def _shared(weights: Array, by: Array) -> Array:
    """Weights with those of equals replaced by their mean: each is as likely to be taken."""
    group = np.concatenate([[0], np.cumsum(by[1:] != by[:-1])])
    member = (group[:, None] == np.arange(group[-1] + 1)).astype(np.float64)
    mean: Array = weights @ (member / member.sum(axis=0)) @ member.T
    return mean


def _sums(weights: Array, results: Array) -> Array:
    """Σ w r, in which an infinite result that cannot be drawn counts nothing."""
    finite = np.isfinite(results)
    sums: Array = weights[:, finite] @ results[finite]
    for i in np.flatnonzero(~finite):
        sums = np.where(weights[:, i] > 0, sums + results[i], sums)
    return sums


def _ranges(results: Array, weights: Array, level: float) -> tuple[Array, Array]:
    order = np.argsort(results, kind="stable")
    steps = np.cumsum(weights[:, order], axis=1)
    ordered = results[order]
    ends = []
    for share in ((1 - level) / 2, (1 + level) / 2):
        place = (steps < share - 1e-12).sum(axis=1)
        ends.append(ordered[np.minimum(place, len(ordered) - 1)])
    return ends[0], ends[1]
