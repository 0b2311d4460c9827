"""Times to the target, in whatever unit: steps, seconds or gradient-equivalents.

A trial that misses the target is censored, not dropped: all that is known of its time is that it is
more than the budget. It is written as infinity. A trial that diverged is a miss at the full budget,
not at the step where it diverged: it would never have arrived, so the moment of its end says nothing
about when it would have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import TaskError

Array = NDArray[np.float64]


def censored(times: ArrayLike, budget: ArrayLike = np.inf) -> Array:
    """Return the times as float64, with infinity for every one beyond the budget.

    Args:
        times: to the target, positive; infinity for a miss.
        budget: the time given to each trial: a number, or one for each along the last axis.

    Raises:
        TaskError: for a time or budget that is NaN or not positive.

    Example:
        >>> censored([3, 12, float("inf")], budget=10)
        array([ 3., inf, inf])
    """
    given = _positive(times, "time to the target")
    limit = _positive(budget, "budget")
    if given.ndim == 0 or given.shape[-1] == 0:
        raise TaskError(f"Statistics need at least one time, got {times!r}.")
    return np.where(given <= limit, given, np.inf)


def restricted(times: ArrayLike, budget: ArrayLike) -> Array:
    """Return min(T, budget): the time spent on each trial, whether or not it arrived.

    Raises:
        TaskError: as `censored`, and for a miss without a finite budget.

    Example:
        >>> restricted([3, float("inf")], budget=10)
        array([ 3., 10.])
    """
    spent: Array = np.minimum(censored(times, budget), np.asarray(budget, dtype=np.float64))
    if not np.isfinite(spent).all():
        raise TaskError("A trial missed the target and its budget is not finite: give the budget.")
    return spent


def _positive(values: ArrayLike, name: str) -> Array:
    given = np.asarray(values, dtype=np.float64)
    wrong = given[~(given > 0)]
    if wrong.size:
        raise TaskError(
            f"A {name} must be a positive number, got {wrong.flat[0]:g}. A miss is written as infinity; "
            "a target that is met before the first step compares nobody."
        )
    return given
