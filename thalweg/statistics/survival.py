"""The share of trials that have not arrived yet, and what follows from it: median and restricted
mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.times import Array, censored


@dataclass(frozen=True, eq=False)
class Survival:
    """The estimated share S(t) of trials that have not reached the target by time t.

    A step function: 1 before `time[0]`, and `share[i]` from `time[i]` up to `time[i + 1]`. `end` is
    the last time at which any trial was watched (infinite if some were censored at infinity).
    """

    time: Array
    share: Array
    end: float

    def at(self, t: float) -> float:
        """Return S(t)."""
        place = int(np.searchsorted(self.time, t, side="right"))
        return 1.0 if place == 0 else float(self.share[place - 1])

    def quantile(self, q: float) -> float:
        """Return the time by which a share q of the trials has arrived, infinite if too few did.

        Where the curve runs level at 1 − q, the middle of that stretch is taken, as a median of an
        even number of values is; a stretch without end has its middle at infinity.

        Raises:
            TaskError: for a q that is not between 0 and 1.
        """
        if not 0 < q < 1:
            raise TaskError(f"A quantile lies between 0 and 1, got {q}.")
        below = np.flatnonzero(self.share <= 1 - q + 1e-12)
        if not below.size:
            return np.inf
        first = int(below[0])
        if self.share[first] < 1 - q - 1e-12:
            return float(self.time[first])
        if first + 1 == len(self.time):
            return np.inf
        return float((self.time[first] + self.time[first + 1]) / 2)

    @property
    def median(self) -> float:
        """The time by which half of the trials has arrived; infinite where half or more missed."""
        return self.quantile(0.5)

    def restricted_mean(self, budget: float) -> float:
        """Return ∫₀^budget S(t) dt, the mean time spent on a trial that is stopped at the budget.

        Source: Irwin (1949), "The standard error of an estimate of expectation of life".

        Raises:
            TaskError: for a budget beyond the last time watched, where S is unknown.
        """
        known = self.end if self.share.size and self.share[-1] > 1e-12 else np.inf
        if not 0 < budget <= known or not np.isfinite(budget):
            raise TaskError(
                f"The mean is restricted to a positive time of at most {known:g}, the last at which "
                f"a trial was watched; got {budget:g}."
            )
        inside = self.time < budget
        edges = np.concatenate([[0.0], self.time[inside], [budget]])
        heights = np.concatenate([[1.0], self.share[inside]])
        return float(np.sum(np.diff(edges) * heights))


def kaplan_meier(times: ArrayLike, reached: ArrayLike | None = None) -> Survival:
    """Return the product-limit estimate of the share of trials that have not arrived.

        S(t) = ∏_{tᵢ ≤ t} (1 − dᵢ / nᵢ)

    with dᵢ arrivals at tᵢ among nᵢ trials still under way. Censoring has to say nothing about the
    time that would have come: see `thalweg.statistics.times` for trials that diverged.

    Args:
        times: one for each trial; infinity for a miss.
        reached: for trials that were stopped at different times, whether each one arrived at its
            time or was stopped there. By default, those with a finite time arrived.

    Source: Kaplan & Meier (1958), "Nonparametric estimation from incomplete observations".

    Raises:
        TaskError: for times that are not positive numbers in one row, or a trial that arrived at
            infinity.

    Example:
        >>> curve = kaplan_meier([3, 5, 8, float("inf")])
        >>> curve.share, curve.median, curve.restricted_mean(10)
        (array([0.75, 0.5 , 0.25]), 6.5, 6.5)
        >>> kaplan_meier([3, 5, 8], reached=[True, False, True]).share
        array([0.66666667, 0.        ])
    """
    watched = censored(times)
    arrived = np.isfinite(watched) if reached is None else np.asarray(reached, dtype=bool)
    if watched.ndim != 1 or arrived.shape != watched.shape:
        raise TaskError(
            f"A survival curve takes one row of times and as many outcomes, got shapes "
            f"{watched.shape} and {arrived.shape}."
        )
    if np.isinf(watched[arrived]).any():
        raise TaskError("A trial that reached the target has a finite time, got infinity.")
    moments, arrivals = np.unique(watched[arrived], return_counts=True)
    under_way = (watched[None, :] >= moments[:, None]).sum(axis=1)
    share = np.cumprod(1 - arrivals / under_way)
    return Survival(moments, share, float(watched.max()))
