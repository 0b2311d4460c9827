"""Quasi-random search: points spread more evenly than chance would, over all dimensions at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.search.base import Ask, Search
from thalweg.race.search.domain import Domain
from thalweg.race.search.halton import halton, stream_seed

_DRAWS_A_POINT = 200
"""Draws after which a search gives up on finding a point that it has not seen."""

Located = tuple[tuple[float, ...], Ask]
"""Where a point lies in the unit cube, and the point."""


class QuasiRandomSearch(Search):
    """Try the points of a scrambled Halton sequence, all at once.

    The learning rate is drawn between the entrant's smallest and largest one, on a logarithmic
    scale, the others from their spaces. An entrant with fewer points than `trials` has all of them
    tried.

    Example:
        >>> from thalweg.race.entrants.known import find_entrant
        >>> search = QuasiRandomSearch(find_entrant("adam"), trials=4, epochs=10, seed=0)
        >>> [ask.epochs for ask in search.ask()]
        [10, 10, 10, 10]

    Source: O. Bousquet et al., Critical hyper-parameters: no random, no cry, 2017.
    """

    def __init__(self, entrant: Entrant, *, trials: int, epochs: int, seed: int = 0) -> None:
        super().__init__(trials=trials, epochs=epochs)
        drawn = unseen(Domain.of(entrant), stream_seed(seed, entrant.name), epochs)
        self._asks = tuple(ask for _, ask in itertools.islice(drawn, trials))

    @property
    def planned(self) -> int:
        """How many points the whole search will ask for."""
        return len(self._asks)

    def _propose(self) -> tuple[Ask, ...]:
        return () if self._told else self._asks


def unseen(domain: Domain, seed: int, epochs: int) -> Iterator[Located]:
    """Yield the coordinates and points of a scrambled Halton sequence, no point twice; where points
    can be counted, all of them in the end.
    """
    seen = set()
    since = 0
    drawn = itertools.takewhile(lambda _: since < _DRAWS_A_POINT, halton(len(domain.spaces), seed))
    for us in itertools.chain(drawn, domain.everywhere()):
        point = domain.point(us)
        since += 1
        if point not in seen:
            since = 0
            seen.add(point)
            yield us, Ask(point, epochs)
