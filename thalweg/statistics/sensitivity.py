"""How much an entrant's result depends on its learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.times import Array, restricted

Edge = Literal["lower", "upper", "both", "single"]


@dataclass(frozen=True)
class Sensitivity:
    """The good region of learning rates, around the best.

    The cost stays within `factor` of the best from `low` to `high`; `width` is log₁₀(high / low), in
    decades. `open` names the ends at which the region runs into the end of the grid, so that its
    true width is unknown.

    `area` is ∫ best / cost d log₁₀(lr) over the whole grid, also in decades: the width of a region
    as good as the best that would be worth as much.

    `edge` says on which edge of the grid the best lies, in which case a better one may lie beyond:
    "both" if the edges are equally good and "single" if the grid has only one point.
    """

    best: float
    cost: float
    factor: float
    low: float
    high: float
    width: float
    open: tuple[Literal["lower", "upper"], ...]
    area: float
    edge: Edge | None


def sensitivity(
    lrs: ArrayLike, costs: ArrayLike, budget: ArrayLike = np.inf, *, factor: float = 2.0
) -> Sensitivity:
    """Measure the good region of learning rates.

    Between the points of the grid, log cost is taken to be linear in log lr; towards a miss it is not
    known, and the region ends at the last point that is good. A region is connected: good points
    beyond a bad one do not count.

    Args:
        lrs: the grid.
        costs: one for each rate, such as the median steps to the target, positive; infinity for a
            miss.
        budget: if finite, a miss counts with it in the area, instead of with nothing.
        factor: how much worse than the best is still good.

    Raises:
        TaskError: for rates or costs that are not positive, a rate given twice, a factor below 1, or
            a grid on which everything missed.

    Example:
        >>> s = sensitivity([0.001, 0.01, 0.1, 1], [400, 100, 100, np.inf])
        >>> round(s.width, 3), round(s.low, 5), s.high, s.edge, s.open
        (1.5, 0.00316, 0.1, None, ())
    """
    rate, cost = _grid(lrs, costs)
    if not factor >= 1:
        raise TaskError(f"What is still good costs a factor of at least 1 more, got {factor}.")
    best = float(cost.min())
    first = int(np.argmin(cost))
    if not np.isfinite(best):
        raise TaskError("Every learning rate of the grid missed the target: there is no good one.")
    limit = factor * best * (1 + 1e-12)
    start, stop = first, first
    while start > 0 and cost[start - 1] <= limit:
        start -= 1
    while stop < len(rate) - 1 and cost[stop + 1] <= limit:
        stop += 1
    decades = np.log10(rate)
    low = _crossing(decades, cost, start, start - 1, limit) if start > 0 else decades[start]
    high = (
        _crossing(decades, cost, stop, stop + 1, limit) if stop + 1 < len(rate) else decades[stop]
    )
    ends: list[Literal["lower", "upper"]] = []
    if start == 0:
        ends.append("lower")
    if stop == len(rate) - 1:
        ends.append("upper")
    given = np.asarray(budget, dtype=np.float64)
    worth = best / (restricted(cost, given) if np.isfinite(given).all() else cost)
    return Sensitivity(
        best=float(rate[first]),
        cost=best,
        factor=factor,
        low=float(10**low),
        high=float(10**high),
        width=float(high - low),
        open=tuple(ends),
        area=float(np.sum(np.diff(decades) * (worth[1:] + worth[:-1]) / 2)),
        edge=_edge(cost),
    )


def _grid(lrs: ArrayLike, costs: ArrayLike) -> tuple[Array, Array]:
    rate = np.asarray(lrs, dtype=np.float64)
    cost = np.asarray(costs, dtype=np.float64)
    if rate.ndim != 1 or not rate.size or rate.shape != cost.shape:
        raise TaskError(
            f"Sensitivity takes one cost for each learning rate, got shapes {cost.shape} and "
            f"{rate.shape}."
        )
    if not ((rate > 0) & np.isfinite(rate)).all() or len(np.unique(rate)) < len(rate):
        raise TaskError(f"Learning rates are positive and given once each, got {rate.tolist()}.")
    if not (cost > 0).all():
        raise TaskError(f"Costs are positive, and infinite for a miss, got {cost.tolist()}.")
    order = np.argsort(rate)
    return rate[order], cost[order]


def _crossing(decades: Array, cost: Array, good: int, bad: int, limit: float) -> float:
    """Where the line through two points, in logarithms, crosses the limit."""
    if not np.isfinite(cost[bad]):
        return float(decades[good])
    share = np.log(limit / cost[good]) / np.log(cost[bad] / cost[good])
    return float(decades[good] + share * (decades[bad] - decades[good]))


def _edge(cost: Array) -> Edge | None:
    if len(cost) == 1:
        return "single"
    # a plateau of equals that has its foot on an edge is on the edge only if no inner point is as good
    best = cost == cost.min()
    if best[1:-1].any():
        return None
    if best[0] and best[-1]:
        return "both"
    return "lower" if best[0] else "upper"
