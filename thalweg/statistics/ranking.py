"""A ranking that says which entrants the data do not tell apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thalweg.statistics.comparison import Comparison, compare_all
from thalweg.statistics.interval import Interval, median_interval
from thalweg.statistics.times import censored, restricted


@dataclass(frozen=True)
class RankedPlace:
    """An entrant's place.

    `position` counts from 1 in the order of the measured times; `group` from 1 for the entrants that
    are not distinguishable from the best. The second group is made the same way of those that are
    left, and so on. Groups follow the tests, positions the medians: an entrant whose times scatter
    may be placed lower and yet not be told from the best.

    `against_best` compares with the entrant at position 1; the best has none.
    """

    name: str
    position: int
    group: int
    median: Interval
    mean: float
    reached: int
    seeds: int
    against_best: Comparison | None


def places(
    times: Mapping[str, ArrayLike],
    budget: ArrayLike,
    comparisons: Sequence[Comparison] | None = None,
    level: float = 0.95,
) -> tuple[RankedPlace, ...]:
    """Rank entrants by their times to the target, and group those that are not distinguishable.

    The order is by median, then by how many seeds reached the target, then by the restricted
    geometric mean exp(mean log min(T, budget)), which is `Place.mean`; of equals, by name.

    Args:
        times: as for `compare_all`.
        budget: as for `compare_all`.
        comparisons: those of `compare_all`, which is called with its defaults if None.
        level: of the medians' intervals.

    Raises:
        TaskError: as `compare_all`.

    Example:
        >>> fast, slow = [10, 11, 12, 13, 14, 15], [30, 32, 33, 31, 34, 39]
        >>> times = {"sgd": slow, "adam": fast, "adamw": [11, 10, 13, 12, 15, 14]}
        >>> for place in places(times, 50, compare_all(times, 50, alpha=0.1)):
        ...     print(place.position, place.name, place.group, place.median.estimate)
        1 adam 1 12.5
        2 adamw 1 12.5
        3 sgd 2 32.5
    """
    made = compare_all(times, budget) if comparisons is None else comparisons
    against = {(c.first, c.second): c for c in made}
    against |= {(c.second, c.first): c.turned() for c in made}
    summed = [_summed(name, row, budget, level) for name, row in times.items()]
    summed.sort(key=lambda place: (place.median.estimate, -place.reached, place.mean, place.name))
    groups = groups_of(
        [place.name for place in summed],
        lambda one, other: against[one, other].outcome == "not distinguishable",
    )
    best = summed[0].name
    return tuple(
        RankedPlace(
            name=place.name,
            position=position,
            group=groups[place.name],
            median=place.median,
            mean=place.mean,
            reached=place.reached,
            seeds=place.seeds,
            against_best=against.get((place.name, best)),
        )
        for position, place in enumerate(summed, start=1)
    )


def _summed(name: str, times: ArrayLike, budget: ArrayLike, level: float) -> RankedPlace:
    row = censored(times, budget)
    return RankedPlace(
        name=name,
        position=0,
        group=0,
        median=median_interval(row, level),
        mean=float(np.exp(np.log(restricted(row, budget)).mean())),
        reached=int(np.isfinite(row).sum()),
        seeds=len(row),
        against_best=None,
    )


def groups_of(ordered: Sequence[str], alike: Callable[[str, str], bool]) -> dict[str, int]:
    """Number the groups of those that are not told from the best, then from the best of the rest.

    Args:
        ordered: the names, the best first.
        alike: whether two of them are not distinguishable.

    Example:
        >>> groups_of(["a", "b", "c"], lambda one, other: {one, other} == {"a", "c"})
        {'a': 1, 'c': 1, 'b': 2}
    """
    groups: dict[str, int] = {}
    left = list(ordered)
    number = 0
    while left:
        number += 1
        best = left[0]
        groups |= {name: number for name in left if name == best or alike(name, best)}
        left = [name for name in left if name not in groups]
    return groups
