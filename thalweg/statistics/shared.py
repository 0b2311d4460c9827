"""Errors that all scores of an entrant share, so that no test over seeds can see them.

The seconds of a step are such a case: measured once, they enter the time of every seed. How far a
measurement scatters is known from its repetitions, and it is taken to be wrong by as much as one of
them: what disturbs a machine lasts longer than one turn, so a mean over turns is hardly surer than a turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from typing import Self

import numpy as np

from thalweg.errors import TaskError
from thalweg.statistics.interval import Interval
from thalweg.statistics.times import Array

_DRAWS = 2**14
"""Errors that are drawn: a tail of 5 % is known to ± 0.2 %."""
_FEWEST = 2
"""Repetitions from which a spread is known."""


@dataclass(frozen=True)
class SharedError:
    """The standard deviation of an error that all scores of an entrant share.

    It was estimated from so many repetitions, so the error in units of it is a t variable of
    `repetitions` − 1 degrees of freedom.

    Example:
        >>> SharedError.of([1.0, 3.0, 2.0])
        SharedError(spread=1.0, repetitions=3)
        >>> SharedError.of([1.0]) is None
        True
    """

    spread: float
    repetitions: int

    def __post_init__(self) -> None:
        if not 0 <= self.spread < np.inf or self.repetitions < _FEWEST:
            raise TaskError(
                "A shared error has a finite spread ≥ 0, known from two repetitions or more; got "
                f"spread={self.spread}, repetitions={self.repetitions}."
            )

    @classmethod
    def of(cls, repeated: Sequence[float]) -> Self | None:
        """Return the error of one of several measurements of the same; None for a single one."""
        if len(repeated) < _FEWEST:
            return None
        return cls(float(np.std(repeated, ddof=1)), len(repeated))


@dataclass(frozen=True, eq=False)
class PairErrors:
    """The shared errors of differences between entrants: `spread` is that of each pair.

    `drawn` has draws of the error of each entrant, `pairs` the two entrants of each pair.
    """

    spread: Array
    drawn: Mapping[str, Array]
    pairs: Sequence[tuple[str, str]]

    @classmethod
    def of(
        cls, errors: Mapping[str, SharedError] | None, pairs: Sequence[tuple[str, str]]
    ) -> Self | None:
        """Return the errors of pairs, None where nobody has one.

        An entrant without one has none. The draws of an entrant do not depend on the order of the pairs.
        """
        known = {name: error for name, error in (errors or {}).items() if error.spread > 0}
        if not known:
            return None
        names = sorted({name for pair in pairs for name in pair})
        size = {name: known[name].spread if name in known else 0.0 for name in names}
        drawn = {
            name: known[name].spread * _drawn(place, known[name].repetitions)
            if name in known
            else np.zeros(_DRAWS)
            for place, name in enumerate(names)
        }
        return cls(np.array([np.hypot(size[a], size[b]) for a, b in pairs]), drawn, pairs)

    def widened(
        self, reach: Array, block: slice, *, one_sided: bool = False, alone: bool = False
    ) -> Array:
        """Return reaches of sign patterns (rows) for a block of pairs (columns), with the shared errors.

            √(r₍ⱼ₎² + (q((j − 1)/P) s)²)    with  P(max over pairs of |error| / s > q(p)) = p

        r₍ⱼ₎ is the j-th greatest of P reaches, which is exceeded with probability (j − 1)/P; q(p) is the
        error of all pairs at once that is exceeded as rarely. Limits of two independent parts so make
        limits of their sum (Howe 1974). The rows come sorted, the greatest first.

        Args:
            reach: the reaches of `CentredFlips`.
            block: which pairs its columns are.
            one_sided: count only errors above.
            alone: each pair by itself, instead of all at once.

        Source: Howe (1974), "Approximate confidence limits on the mean of X + Y where X and Y are two
        tabled independent random variables"; Zou & Donner (2008).
        """
        ordered = -np.sort(-reach, axis=0)
        if alone:
            errors = [_descending(np.abs(scaled)) for scaled in self._scaled(block)]
        else:
            errors = [self._greatest_above if one_sided else self._greatest]
        # of the draws, as large a share is greater as of the patterns
        limits = np.array([row[np.arange(len(reach)) * len(row) // len(reach)] for row in errors]).T
        widened: Array = np.hypot(ordered, limits * self.spread[block])
        return widened

    def _scaled(self, block: slice = slice(None)) -> Iterator[Array]:
        """The draws of the error of each pair, in units of its spread."""
        for (a, b), spread in zip(self.pairs[block], self.spread[block].tolist(), strict=True):
            yield (self.drawn[a] - self.drawn[b]) / (spread or 1.0)

    @cached_property
    def _greatest(self) -> Array:
        """The greatest error of any pair."""
        return _descending(reduce(np.maximum, map(np.abs, self._scaled())))

    @cached_property
    def _greatest_above(self) -> Array:
        """The same, of errors above alone; each draw also counts with the opposite sign."""
        above = reduce(np.maximum, self._scaled())
        below = reduce(np.minimum, self._scaled())
        return _descending(np.maximum(np.concatenate([above, -below]), 0.0))


def _descending(values: Array) -> Array:
    ordered: Array = np.sort(values)[::-1]
    return ordered


def with_error(interval: Interval, error: SharedError | None) -> Interval:
    """Return the interval of a positive number that is wrong by a factor: its logarithm has the error.

    Each end moves away from the estimate, in logarithms, from a distance d to √(d² + (t s)²).

    Example:
        >>> wide = with_error(Interval(10.0, 8.0, 12.5, 0.95, 0.95), SharedError(0.1, 12))
        >>> round(wide.low, 1), round(wide.high, 1)
        (7.3, 13.7)
    """
    if error is None or not error.spread or not np.isfinite(interval.estimate):
        return interval
    far = error.spread * float(np.quantile(np.abs(_drawn(0, error.repetitions)), interval.level))
    ends = [
        interval.estimate * np.exp(way * np.hypot(np.log(end / interval.estimate), far))
        for end, way in ((interval.low, -1), (interval.high, 1))
    ]
    return Interval(
        interval.estimate, float(ends[0]), float(ends[1]), interval.level, interval.attained
    )


@lru_cache(maxsize=64)
def _drawn(place: int, repetitions: int) -> Array:
    """Draws of a t variable for the entrant at a place, always the same."""
    drawn: Array = np.random.default_rng(place).standard_t(repetitions - 1, _DRAWS)
    drawn.setflags(write=False)
    return drawn
