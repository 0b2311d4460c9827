"""How much of a run's time its data set takes to read, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from thalweg.objective.nested import rows_of
from thalweg.tasks.sources.cached import CachedSource, bytes_as_tensors, free_memory
from thalweg.tasks.sources.source import Batch, DatasetSource, Source

_SECONDS = 2.0
"""A run that takes less needs no advice."""
_SHARE = 0.5
_OF_MEMORY = 0.25

_is_told = False
"""Whether this process has been told: once is enough."""


class Reading:
    """Measures how long a run waits for its batches.

    Args:
        source: the training set; only one that a cache could hold is measured.
        tell: is given the advice, once in a process, when more than half of the time is spent in reading.
    """

    def __init__(self, source: Source, tell: Callable[[str], None]) -> None:
        is_read = isinstance(source, DatasetSource) and not isinstance(source, CachedSource)
        self._is_measured = is_read and source.rows is not None and not _is_told
        self._rows, self._tell = source.rows, tell
        self._read = self._used = 0.0

    def watched(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """Return the batches, measured where that can lead to advice."""
        return self._measured(batches) if self._is_measured else batches

    def _measured(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        began = time.perf_counter()
        for batch in batches:
            now = time.perf_counter()
            self._read += now - began
            yield batch
            began = time.perf_counter()
            self._used += began - now
            if self._is_measured and self._read + self._used > _SECONDS:
                self._advise(batch)

    def _advise(self, batch: Batch) -> None:
        global _is_told
        self._is_measured = False  # one measurement decides
        share, rows = self._read / (self._read + self._used), rows_of(batch)
        if share <= _SHARE or not rows or self._rows is None or _is_told:
            return
        size, free = bytes_as_tensors(batch, rows, self._rows), free_memory()
        if free is None or size > _OF_MEMORY * free:
            return
        _is_told = True
        self._tell(
            f"hint: {100 * share:.0f} % of the time goes into reading the training set, which takes "
            f"{_amount(size)} as tensors. If it draws nothing at random, read it once: "
            "Data.dataset(dataset, cache=True)."
        )


def _amount(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
