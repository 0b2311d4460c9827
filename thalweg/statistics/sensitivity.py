"""How much an entrant's result depends on its learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import TaskError
from thalweg.statistics.interval import Interval, check_level
from thalweg.statistics.times import Array, restricted

_DRAWS = 1000
_MOST_NOISE = 100.0
"""Of a logarithm: a factor of 10⁴³."""
_TAIL = 0.4
"""The share of 1 − level that is cut off the widths that are drawn: noise is in them twice."""

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

    With few seeds the width is seen too narrow or too wide: see `width_interval`.

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
    if not np.isfinite(best):
        raise TaskError("Every learning rate of the grid missed the target: there is no good one.")
    decades = np.log10(rate)
    start, stop, low, high = (ends[0] for ends in _regions(decades, cost[None, :], factor))
    ends: list[Literal["lower", "upper"]] = []
    if start == 0:
        ends.append("lower")
    if stop == len(rate) - 1:
        ends.append("upper")
    given = np.asarray(budget, dtype=np.float64)
    worth = best / (restricted(cost, given) if np.isfinite(given).all() else cost)
    return Sensitivity(
        best=float(rate[np.argmin(cost)]),
        cost=best,
        factor=factor,
        low=float(10**low),
        high=float(10**high),
        width=float(high - low),
        open=tuple(ends),
        area=float(np.sum(np.diff(decades) * (worth[1:] + worth[:-1]) / 2)),
        edge=_edge(cost),
    )


def width_interval(
    lrs: ArrayLike, costs: ArrayLike, *, factor: float = 2.0, level: float = 0.95
) -> Interval | None:
    """Return the width of the good region, with an interval for that of the true medians.

    Log costs are taken to be what the rate and the seed give, and normal noise of the same spread for all:

        log cᵢₛ = μᵢ + βₛ + eᵢₛ,    σ̂² = Σ (cᵢₛ − c̄ᵢ. − c̄.ₛ + c̄..)² / ((n − 1)(S − 1))

    over the n rates that no seed missed. The medians are drawn again about those that were seen, with
    noise of σ̂ (and σ̂ with that of its own), and the width is measured each time. Noise is in these
    widths twice, so their 95 % range holds the true width in 91 to 93 % of races; the interval is
    therefore their range of 1 − 0.4 (1 − level), which holds it in 95 to 98 % (`benchmarks/claims.py`).
    What lies between the rates that were tried is not part of it.

    Args:
        lrs: the grid.
        costs: of (seeds, rates), positive; infinity for a miss.
        factor: how much worse than the best is still good.
        level: how often the interval should hold the true width.

    Returns:
        The interval; None where a single seed, or fewer than two rates without a miss, show no spread,
        or where every median missed.

    Raises:
        TaskError: as `sensitivity`.

    Example:
        >>> costs = [[400, 110, 100, 210], [420, 90, 105, 230], [390, 100, 95, 190]]
        >>> found = width_interval([0.001, 0.01, 0.1, 1], costs)
        >>> round(found.estimate, 2), found.low < 2.3, found.high > 2.5
        (2.43, True, True)
    """
    check_level(level)
    table = np.asarray(costs, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise TaskError(f"Costs must be a table of (seeds, rates), got shape {table.shape}.")
    rate, medians = _grid(lrs, np.median(table, axis=0))
    table = table[:, np.argsort(np.asarray(lrs, dtype=np.float64))]
    whole = np.isfinite(table).all(axis=0)
    if len(table) < 2 or whole.sum() < 2 or not np.isfinite(medians).any():
        return None
    drawn = medians * np.exp(_noise(np.log(table[:, whole]), len(rate)))
    *_, low, high = _regions(np.log10(rate), np.vstack([medians, drawn]), factor)
    estimate, widths = high[0] - low[0], high[1:] - low[1:]
    aside = _TAIL * (1 - level) / 2
    ends = np.quantile(widths, [aside, 1 - aside])
    return Interval(float(estimate), float(ends[0]), float(ends[1]), level, level)


def _noise(logs: Array, rates: int) -> Array:
    """Draws of the noise of medians over seeds, one row each, with the spread of a table of log costs."""
    seeds, whole = logs.shape
    rest = logs - logs.mean(axis=0) - logs.mean(axis=1, keepdims=True) + logs.mean()
    freedom = (whole - 1) * (seeds - 1)
    rng = np.random.default_rng(0)
    spread = np.sqrt((rest**2).sum() / rng.chisquare(freedom, (_DRAWS, 1)))
    noise = spread * np.median(rng.standard_normal((_DRAWS, seeds, rates)), axis=1)
    # a spread of one degree of freedom may be anything: costs stay finite, and misses misses
    clipped: Array = np.clip(noise, -_MOST_NOISE, _MOST_NOISE)
    return clipped


def _regions(
    decades: Array, costs: Array, factor: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Array, Array]:
    """The first and the last good point of each row, and where its region begins and ends, in decades."""
    row, last = np.arange(len(costs)), costs.shape[1] - 1
    best = costs.argmin(axis=1)
    limit = factor * costs[row, best] * (1 + 1e-12)
    good = costs <= limit[:, None]
    start, stop = best.copy(), best.copy()
    for _ in range(last):
        start -= (start > 0) & good[row, np.maximum(start - 1, 0)]
        stop += (stop < last) & good[row, np.minimum(stop + 1, last)]
    ends = (
        _crossings(decades, costs, edge, np.clip(edge + way, 0, last), limit)
        for edge, way in ((start, -1), (stop, 1))
    )
    return start, stop, *ends


def _grid(lrs: ArrayLike, costs: ArrayLike) -> tuple[Array, Array]:
    rate = np.asarray(lrs, dtype=np.float64)
    cost = np.asarray(costs, dtype=np.float64)
    if rate.ndim != 1 or not rate.size or rate.shape != cost.shape:
        raise TaskError(
            f"Sensitivity takes one cost for each learning rate, got shapes {cost.shape} and "
            f"{rate.shape}."
        )
    if not ((rate > 0) & np.isfinite(rate)).all() or len(np.unique(rate)) < len(rate):
        raise TaskError(
            f"Learning rates must be positive and given once each, got {rate.tolist()}."
        )
    if not (cost > 0).all():
        raise TaskError(f"Costs must be positive, and infinite for a miss, got {cost.tolist()}.")
    order = np.argsort(rate)
    return rate[order], cost[order]


def _crossings(
    decades: Array, costs: Array, good: NDArray[np.intp], bad: NDArray[np.intp], limit: Array
) -> Array:
    """Where the lines through two points of each row, in logarithms, cross the limits.

    Towards a miss, and at the end of the grid, where there is no bad point, it is the good one.
    """
    row = np.arange(len(costs))
    inner, outer = costs[row, good], costs[row, bad]
    between = np.isfinite(outer) & (outer > limit)
    rise = np.log(np.where(between, outer / inner, np.e))
    share = np.where(between, np.log(limit / inner) / rise, 0.0)
    crossing: Array = decades[good] + share * (decades[bad] - decades[good])
    return crossing


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
