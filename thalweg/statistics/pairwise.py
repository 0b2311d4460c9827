"""Pairwise comparisons over several tasks, which do not depend on who else runs."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.times import Array, censored, restricted

Bound = Literal["exact", "at least", "at most", "unknown"]


def pairwise_ratios(costs: ArrayLike, budget: ArrayLike) -> Array:
    """Return the geometric mean over tasks of the ratios of two entrants' costs, for every pair.

        Rᵢⱼ = exp(mean_t log(min(cᵢₜ, Bᵢₜ) / min(cⱼₜ, Bⱼₜ))),    Rᵢⱼ Rⱼₖ = Rᵢₖ

    Below 1, entrant i is the faster one. A miss counts with the budget, so the ratio of an entrant
    with misses to one without is at least this, if the budget is the entrant's own.

    Args:
        costs: of (entrants, tasks), such as the median time to the target; infinity for a miss.
        budget: a number, one for each task, or a table as of costs.

    Source: Fleming & Wallace (1986), "How not to lie with statistics".

    Raises:
        TaskError: for costs that are not a table of positive numbers.

    Example:
        >>> pairwise_ratios([[1, 8], [2, 4]], budget=10).round(3)
        array([[1., 1.],
               [1., 1.]])
    """
    logs = np.log(restricted(cost_table(costs), budget))
    ratios: Array = np.exp((logs[:, None, :] - logs[None, :, :]).mean(axis=-1))
    return ratios


def pairwise_bounds(costs: ArrayLike) -> list[list[Bound]]:
    """Return what misses make of each pairwise ratio, a miss counting with its own budget.

    "at least" where entrant i missed tasks that j solved, since it would have taken longer than its
    budget there; "at most" the other way round; "unknown" where both happened. A task that both
    missed tells nothing of the two: it enters the ratio as that of their budgets, and no bound.

    Args:
        costs: of (entrants, tasks); infinity for a miss.

    Raises:
        TaskError: as `pairwise_ratios`.

    Example:
        >>> pairwise_bounds([[1, np.inf], [2, 4]])
        [['exact', 'at least'], ['at most', 'exact']]
    """
    missed = np.isinf(cost_table(costs))
    alone: list[list[bool]] = np.any(missed[:, None, :] & ~missed[None, :, :], axis=-1).tolist()
    every = range(len(missed))
    return [[_bound(alone[i][j], alone[j][i]) for j in every] for i in every]


def _bound(first: bool, second: bool) -> Bound:
    if first and second:
        return "unknown"
    return "at least" if first else "at most" if second else "exact"


def pairwise_wins(costs: ArrayLike, budget: ArrayLike = np.inf) -> Array:
    """Return the share of tasks on which entrant i (rows) is faster than j, a tie counting half.

    Two misses tie. Wᵢⱼ + Wⱼᵢ = 1.

    Example:
        >>> pairwise_wins([[1, 8, np.inf], [2, 4, np.inf]])
        array([[0.5, 0.5],
               [0.5, 0.5]])
    """
    c = censored(cost_table(costs), budget)
    faster = c[:, None, :] < c[None, :, :]
    equal = c[:, None, :] == c[None, :, :]
    wins: Array = (faster + equal / 2).mean(axis=-1)
    return wins


def cost_table(costs: ArrayLike) -> Array:
    """Return costs as (entrants, tasks).

    Raises:
        TaskError: for anything that is not such a table.
    """
    given = np.asarray(costs, dtype=np.float64)
    if given.ndim != 2 or not given.size:
        raise TaskError(f"Costs must be a table of (entrants, tasks), got shape {given.shape}.")
    return given
