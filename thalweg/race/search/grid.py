"""Grid search over the learning rate: a logarithmic grid that follows its best rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from thalweg.errors import TaskError
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.search.base import Ask, Search, best_first
from thalweg.race.trials.point import Point

_LONE_SPACING = math.sqrt(10)
"""The spacing around a grid of one rate: two a decade, as in the default grids."""


class GridSearch(Search):
    """Try the entrant's own learning rates, then go where the best one lies.

    While budget lasts: if the best rate lies on the edge, one step beyond it, by the mean spacing
    of the grid,

        r = (lr_n / lr_1)^(1 / (n − 1)),      lr_1 / r^k or lr_n r^k;

    else the geometric means √(a b) of the best rate and its two neighbours, the better neighbour's
    first. Rates have three significant digits. Where no two rates can be parted any more, it goes
    on from the next best. With a budget of fewer points than the grid has, the grid is thinned
    evenly.

    Raises:
        TaskError: if the entrant has other hyperparameters to search.

    Example:
        >>> import torch
        >>> from thalweg.race.entrants.known import Entrant
        >>> from thalweg.race.search import Score
        >>> entrant = Entrant("sgd", torch.optim.SGD, lrs=(0.01, 0.1, 1.0))
        >>> search = GridSearch(entrant, trials=6, epochs=1)
        >>> while asks := search.ask():
        ...     search.tell([Score(100 * abs(math.log10(ask.point.lr / 5)), 0, 0) for ask in asks])
        >>> [ask.point.lr for ask, _ in search.told]  # the best is 5, beyond the grid
        [0.01, 0.1, 1.0, 10.0, 100.0, 3.16]

    Source: I. Goodfellow et al., Deep Learning, 2016, section 11.4.3.
    """

    def __init__(self, entrant: Entrant, *, trials: int, epochs: int) -> None:
        super().__init__(trials=trials, epochs=epochs)
        if entrant.search:
            raise TaskError(
                "The grid searches the learning rate alone, and entrant "
                f"{entrant.name!r} has more to search: {', '.join(entrant.search)}. Search with "
                "'quasi-random', 'halving' or 'tpe', or fix them among the hyperparameters."
            )
        self._grid = thinned(sorted(set(entrant.lrs)), trials)
        self._spacing = _spacing(self._grid)

    @property
    def planned(self) -> int:
        """How many points the whole search will ask for."""
        return self.trials

    def _propose(self) -> tuple[Ask, ...]:
        left = self.trials - len(self._told)
        if left == 0:
            return ()
        rates = self._next() if self._told else self._grid
        return tuple(Ask(Point(lr), self.epochs) for lr in rates[:left])

    def _next(self) -> tuple[float, ...]:
        """The rates around the best one that were not tried; around the next best if there are
        none.
        """
        order = [ask.point.lr for ask in best_first(self._told)]
        tried = sorted(order)
        for lr in order:
            around = dict.fromkeys(_three_digits(near) for near in self._around(lr, tried, order))
            fresh = tuple(near for near in around if 0 < near < math.inf and near not in tried)
            if fresh:
                return fresh
        return ()

    def _around(self, lr: float, tried: list[float], order: list[float]) -> Iterator[float]:
        place = tried.index(lr)
        if place == len(tried) - 1:
            yield self._beyond(lr, self._grid[0], self._spacing)
        if place == 0:
            yield self._beyond(lr, self._grid[-1], 1 / self._spacing)
        if 0 < place < len(tried) - 1:
            neighbours = sorted((tried[place - 1], tried[place + 1]), key=order.index)
            yield from (math.sqrt(lr) * math.sqrt(neighbour) for neighbour in neighbours)

    def _beyond(self, edge: float, start: float, ratio: float) -> float:
        """The first rate beyond the edge of those that count from the other end of the grid: so the
        rounding of one step does not grow with the next.
        """
        if not 0 < ratio < math.inf:
            return math.inf
        steps = round((math.log(edge) - math.log(start)) / math.log(ratio)) + 1
        try:
            return _tidy(start * ratio**steps)
        except OverflowError:  # the range of numbers ends
            return math.inf


def _tidy(lr: float) -> float:
    """The whole or half power of ten that a rate is meant to be: the ends of grids are rounded."""
    half = 10 ** (round(2 * math.log10(lr)) / 2) if 0 < lr < math.inf else lr
    return half if math.isclose(lr, half, rel_tol=5e-3) else lr


def thinned(grid: Sequence[float], points: int) -> tuple[float, ...]:
    """Return so many rates of a grid, evenly spread, both ends among them; the whole grid if it has
    no more.

    >>> thinned((1, 2, 3, 4, 5, 6, 7), 3), thinned((1, 2, 3), 1), thinned((1, 2), 5)
    ((1, 4, 7), (2,), (1, 2))
    """
    if points >= len(grid):
        return tuple(grid)
    if points == 1:
        return (grid[len(grid) // 2],)
    return tuple(grid[round(index * (len(grid) - 1) / (points - 1))] for index in range(points))


def _spacing(grid: Sequence[float]) -> float:
    """The ratio of one rate to the next, in the mean."""
    if len(grid) == 1:
        return _LONE_SPACING
    whole = grid[-1] / grid[0]
    if math.isinf(whole):  # more than the range of numbers
        root: float = (math.sqrt(grid[-1]) / math.sqrt(grid[0])) ** (1 / (len(grid) - 1))
        return root * root
    return float(whole ** (1 / (len(grid) - 1)))


def _three_digits(lr: float) -> float:
    return float(f"{lr:.3g}")
