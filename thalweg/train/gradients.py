"""The cost of training in gradient-equivalents.

A forward and a backward pass over as many rows as a batch of the task has are 1; over n rows they are
n / B, and a forward pass alone is a third of that. So what a run has computed does not depend on the size
of its batches: an epoch of an optimizer that takes one gradient a step costs as much with all rows at once
as with a hundred batches.
"""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any, cast

from torch.utils.data import DataLoader

from thalweg.tasks.sources.source import LoaderSource, Source
from thalweg.tasks.task import Task

_PASSES = 3
"""A gradient in forward passes: its backward pass takes two matrix products for each of the forward
pass, by the weights and by the inputs.
"""


@dataclass
class Computed:
    """What a run has computed.

    `unit` is how many rows make one gradient-equivalent; None where batches do not tell their size,
    and each of them counts 1. It is counted in integers, `passes` of a row, so that no rounding
    adds up and a budget is met exactly.

    >>> computed = Computed(unit=8)
    >>> computed.gradient(8)
    >>> computed.forward(12)
    >>> computed.gradients
    1.5
    """

    unit: int | None
    passes: int = 0

    def gradient(self, rows: int) -> None:
        """Count a forward and a backward pass over a batch."""
        self.passes += _PASSES * (1 if self.unit is None else rows)

    def forward(self, rows: int) -> None:
        """Count a forward pass alone."""
        self.passes += 1 if self.unit is None else rows

    def more(self, rows: int, passes: int) -> None:
        """Count what an optimizer computes in addition to its closure, in forward passes over a batch."""
        self.passes += passes * (1 if self.unit is None else rows)

    @property
    def gradients(self) -> float:
        """All of it in gradient-equivalents."""
        return self.passes / (_PASSES * (self.unit or 1))

    @classmethod
    def of(cls, unit: int | None, gradients: float) -> Computed:
        """Return what comes to so many gradient-equivalents."""
        return cls(unit, round(_PASSES * gradients * (unit or 1)))


def gradient_rows(task: Task) -> int | None:
    """Return how many rows make a gradient-equivalent: those of a batch of the task.

    None where that is not known, as with a `DataLoader` that is given a batch sampler.

    >>> from thalweg.tasks import load_task
    >>> gradient_rows(load_task("digits"))
    128
    """
    return batch_rows(task.data.train, task.batch_size)


def batch_rows(source: Source, batch_size: int | None) -> int | None:
    """Return how many rows a whole batch has; a `DataLoader` keeps its own size."""
    size = source.loader.batch_size if isinstance(source, LoaderSource) else batch_size
    if size is None and isinstance(source, LoaderSource):
        return None
    rows = epoch_rows(source)
    return size if rows is None else rows if size is None else max(1, min(size, rows))


def batch_gradients(task: Task, batch_size: int | None) -> float:
    """Return what a gradient over a whole batch of this size costs, in gradient-equivalents.

    >>> from thalweg.tasks import load_task
    >>> batch_gradients(load_task("digits"), 32)
    0.25
    """
    unit, rows = gradient_rows(task), batch_rows(task.data.train, batch_size)
    return 1.0 if unit is None or rows is None else rows / unit


def epoch_rows(source: Source) -> int | None:
    """Return how many rows an epoch has, None where that is not known."""
    if not isinstance(source, LoaderSource):
        return source.rows
    loader = source.loader
    if loader.batch_size is None or source.rows is None or not hasattr(loader.sampler, "__len__"):
        return None
    rows = len(cast("Sized", loader.sampler))
    return rows - rows % loader.batch_size if loader.drop_last else rows


def epoch_steps(source: Source, batch_size: int | None) -> int | None:
    """Return how many batches an epoch has, None where that is not known."""
    if isinstance(source, LoaderSource) and source.loader.batch_size is None:
        return _steps_of(source.loader) if source.rows is not None else None
    rows, size = epoch_rows(source), batch_rows(source, batch_size)
    return None if rows is None or size is None else -(-rows // size)


def _steps_of(loader: DataLoader[Any]) -> int | None:
    """Return how many batches a loader has whose sampler makes them, where that has a length."""
    try:
        return len(loader)
    except TypeError:
        return None
