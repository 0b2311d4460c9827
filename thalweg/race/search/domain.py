"""The space of an entrant's points: its learning rates, and the spaces of its other hyperparameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.entrants.space import Choice, LogUniform, Space
from thalweg.race.trials.point import Point


@dataclass(frozen=True)
class Domain:
    """The spaces of the hyperparameters searched, in order, the learning rate first.

    >>> from thalweg.race.entrants.space import choice, log_uniform
    >>> domain = Domain((("lr", log_uniform(0.001, 1)), ("nesterov", choice(True, False))))
    >>> str(domain.point((0.5, 0.7)))
    'learning rate 0.0316, nesterov False'
    """

    spaces: tuple[tuple[str, Space], ...]

    @staticmethod
    def of(entrant: Entrant) -> Domain:
        """Return what is searched of an entrant: the learning rates from its smallest to its
        largest one, on a logarithmic scale, and what its `search` names.
        """
        low, high = min(entrant.lrs), max(entrant.lrs)
        rates: Space = LogUniform(low, high) if low < high else Choice((low,))
        search: Mapping[str, Space] = entrant.search
        return Domain((("lr", rates), *search.items()))

    def point(self, us: Sequence[float]) -> Point:
        """Return the point at the coordinates `us`, each from 0 to 1."""
        (_, lr), *others = (
            (name, space.at(u)) for (name, space), u in zip(self.spaces, us, strict=True)
        )
        return Point(lr, tuple(others))

    @property
    def size(self) -> int | None:
        """How many points there are, None for a continuum."""
        sizes = [space.size for _, space in self.spaces]
        return math.prod(size for size in sizes if size) if all(sizes) else None

    def everywhere(self) -> Iterator[tuple[float, ...]]:
        """Yield the coordinates of every point where they can be counted, of none where not."""
        if self.size is not None:
            sizes = [space.size or 0 for _, space in self.spaces]
            yield from itertools.product(
                *([(index + 0.5) / size for index in range(size)] for size in sizes)
            )
