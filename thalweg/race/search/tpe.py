"""Search by the tree-structured Parzen estimator, of Optuna."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thalweg.errors import MissingExtraError
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.entrants.space import Choice, Integers, Space
from thalweg.race.search.base import Ask, Score, Search
from thalweg.race.search.domain import Domain
from thalweg.race.search.halton import stream_seed
from thalweg.race.search.quasi_random import unseen
from thalweg.race.trials.point import Point

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

Params = dict[str, float]
"""Coordinates as the estimator knows them: from 0 to 1, or an index."""

FIRST = 10
"""Points at most that are drawn before the estimator has anything to go by."""

_BATCH = 4
"""Points asked for at once: workers and stacks are kept busy, and all but the first are chosen
knowing less.
"""

_ATTEMPTS = 20
"""Proposals of points already tried after which a quasi-random one is taken instead."""

_MANY_STEPS = 2.0**60
"""Greater than the steps of any trial. The estimator goes by the order of scores alone."""


class TpeSearch(Search):
    """Try a few quasi-random points, then those that a tree-structured Parzen estimator proposes.

    The estimator models the points of the better scores by a density l and the others by g, and
    proposes, of candidates drawn from l, the one with the greatest

        l(x) / g(x),

    over all dimensions jointly. Each batch is told before the next one is asked for. All points run
    at full length.

    Raises:
        MissingExtraError: if Optuna is not installed.

    Example:
        >>> from thalweg.race.entrants.known import find_entrant
        >>> search = TpeSearch(find_entrant("adam"), trials=12, epochs=10)
        >>> len(search.ask())
        4

    Sources: J. Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011; T. Akiba
    et al., Optuna, KDD 2019.
    """

    def __init__(self, entrant: Entrant, *, trials: int, epochs: int, seed: int = 0) -> None:
        super().__init__(trials=trials, epochs=epochs)
        self._domain = Domain.of(entrant)
        own_seed = stream_seed(seed, entrant.name)
        self._drawn = unseen(self._domain, own_seed, epochs)
        self._study = _study(own_seed)
        self._distributions = {name: _distribution(space) for name, space in self._domain.spaces}
        self._trials: dict[Point, Trial | Params] = {}

    @property
    def planned(self) -> int:
        """How many points the whole search will ask for."""
        return min(self.trials, self._domain.size or self.trials)

    def tell(self, scores: Sequence[Score]) -> None:
        """Take the scores of the points last asked for, in their order."""
        asks = self._open
        super().tell(scores)
        with _quiet():
            for ask, score in zip(asks, scores, strict=True):
                self._learn(self._trials[ask.point], score.scalar(_MANY_STEPS))

    def _learn(self, tried: Trial | Params, value: float) -> None:
        from optuna.trial import create_trial

        if isinstance(tried, dict):  # a quasi-random point, which the study does not know yet
            self._study.add_trial(
                create_trial(params=tried, distributions=self._distributions, value=value)
            )
        else:
            self._study.tell(tried, value)

    def _propose(self) -> tuple[Ask, ...]:
        left = self.planned - len(self._told)
        with _quiet():
            if not self._told:
                points = [self._draw() for _ in range(min(left, FIRST, max(2, self.trials // 3)))]
            else:
                points = [self._estimate() for _ in range(min(left, _BATCH))]
        return tuple(Ask(point, self.epochs) for point in points if point is not None)

    def _estimate(self) -> Point | None:
        """The estimator's next point; a quasi-random one if it insists on what was tried."""
        from optuna.trial import TrialState

        for _ in range(_ATTEMPTS):
            trial = self._study.ask(fixed_distributions=self._distributions)
            us = [_to_unit(space, trial.params[name]) for name, space in self._domain.spaces]
            point = self._domain.point(us)
            if point not in self._trials:
                self._trials[point] = trial
                return point
            self._study.tell(trial, state=TrialState.FAIL)  # the estimator passes over failures
        return self._draw()

    def _draw(self) -> Point | None:
        for us, ask in self._drawn:
            if ask.point not in self._trials:
                self._trials[ask.point] = {
                    name: _from_unit(space, u)
                    for (name, space), u in zip(self._domain.spaces, us, strict=True)
                }
                return ask.point
        return None


def _study(seed: int) -> Study:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "The search 'tpe'", "optuna") from None
    with _quiet():
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=1, multivariate=True, constant_liar=True, seed=seed
        )
        return optuna.create_study(sampler=sampler, direction="minimize")


def _distribution(space: Space) -> BaseDistribution:
    """What the estimator is told of a space: its scale is left to `Space.at`, its kind is not."""
    from optuna import distributions

    if isinstance(space, Choice):
        return distributions.CategoricalDistribution(tuple(range(space.size)))
    if isinstance(space, Integers):
        return distributions.IntDistribution(0, space.size - 1)
    return distributions.FloatDistribution(0.0, 1.0)


def _to_unit(space: Space, param: float) -> float:
    return param if space.size is None else (param + 0.5) / space.size


def _from_unit(space: Space, u: float) -> float:
    return u if space.size is None else min(int(u * space.size), space.size - 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from reporting each trial; whoever else uses it gets his reports as before."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
