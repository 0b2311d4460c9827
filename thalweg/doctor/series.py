"""What is kept of a run of any length in memory that does not grow."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

FIRST, LAST = 4096, 8192
T = TypeVar("T")


class Series:
    """Numbers, one a step: the first 4096 and at least the last 8192 are kept.

    >>> seen = Series()
    >>> for value in (3.0, 2.0, 1.0):
    ...     seen.add(value)
    >>> len(seen), seen.first().tolist(), seen.last(2).tolist()
    (3, [3.0, 2.0, 1.0], [2.0, 1.0])
    """

    def __init__(self) -> None:
        self._first = array("d")
        self._last = array("d")
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, value: float) -> None:
        """Add the number of the next step."""
        self.extend((value,))

    def extend(self, values: Sequence[float]) -> None:
        """Add the numbers of the next steps."""
        self._count += len(values)
        room = FIRST - len(self._first)
        if room >= len(values):
            self._first.extend(values)
            return
        self._first.extend(values[:room])
        self._last.extend(values[room:])
        if len(self._last) > 2 * LAST:
            del self._last[:-LAST]

    def first(self, most: int = FIRST) -> NDArray[np.float64]:
        """Return the numbers of the first steps."""
        return np.array(self._first[:most], dtype=np.float64)

    def last(self, most: int = LAST) -> NDArray[np.float64]:
        """Return the numbers of the last steps, without a gap."""
        kept = self._last if self._count > 2 * FIRST + LAST else self._first + self._last
        return np.array(kept[-most:], dtype=np.float64)

    @property
    def last_begins(self) -> int:
        """The step that the first of `last()` belongs to, counted from 0."""
        return self._count - len(self.last())


def curve(series: Series, most: int = 400) -> tuple[tuple[int, float], ...]:
    """Return what is kept of a series as at most so many points (step, value), steps counted from 1.

    A point is the mean of neighbouring numbers; one that is not finite keeps a point not finite.

    >>> seen = Series()
    >>> for value in (4.0, 2.0, 1.0, 0.0):
    ...     seen.add(value)
    >>> curve(seen, most=2)
    ((2, 3.0), (4, 0.5))
    """
    last, begins = series.last(), series.last_begins
    first = series.first()[:begins]
    values = np.concatenate([first, last])
    steps = np.concatenate([np.arange(len(first)), begins + np.arange(len(last))]) + 1
    size = max(1, -(-len(values) // most))
    return tuple(
        (int(steps[min(place + size, len(values)) - 1]), float(values[place : place + size].mean()))
        for place in range(0, len(values), size)
    )


class Thinned(Generic[T]):
    """Samples in order: where there are too many, every second is dropped, and only every second is kept of
    those to come.

    >>> kept = Thinned(most=4)
    >>> for value in range(10):
    ...     kept.add(value)
    >>> list(kept)
    [0, 4, 8]
    """

    def __init__(self, most: int = 256) -> None:
        self.most = most
        self._items: list[T] = []
        self._seen, self._stride = 0, 1

    def add(self, item: T) -> None:
        """Add one sample."""
        if len(self._items) >= self.most:
            del self._items[1::2]
            self._stride *= 2
        if self._seen % self._stride == 0:
            self._items.append(item)
        self._seen += 1

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
