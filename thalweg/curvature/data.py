"""The data that curvature is taken over: batches that can be read again, and are the same each time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.objective.nested import describe_batch, tensors_in
from thalweg.objective.weighted import unweighted, weigh_batch


class Seen(NamedTuple):
    """What one reading of the data gave: batches, rows, their weight, and Σ |weight × loss|."""

    batches: int
    rows: int
    weight: float
    loss: float

    def plus(self, other: Seen) -> Seen:
        """Return what both gave."""
        return Seen(
            self.batches + other.batches,
            self.rows + other.rows,
            self.weight + other.weight,
            self.loss + other.loss,
        )


class RepeatedBatches:
    """Batches (inputs, targets), or (inputs, targets, weights of the rows), read again for each product.

    `data` is one batch as a tuple, a list of batches, a loader, or anything else that can be iterated over
    again.

    Raises:
        DataError: for an iterator, which can be read only once.
    """

    def __init__(self, data: Any) -> None:
        self.single: tuple[Any, Any] | None = None
        if isinstance(data, tuple):
            self.single = as_batch(data)
        elif isinstance(data, list) and len(data) == 1:
            self.single = as_batch(data[0])
        elif isinstance(data, Iterator):
            raise DataError(
                f"The data are an iterator ({type(data).__name__}), which can be read only once, and every "
                "product reads them: a second one would see nothing. Give list(data), or the loader "
                "itself instead of iter(loader)."
            )
        elif not isinstance(data, Iterable) or isinstance(data, (str, bytes, Tensor, dict)):
            raise DataError(
                "The data must be one batch (inputs, targets), a list of batches, or a loader of batches; "
                f"got {describe_batch(data)}."
            )
        self.data = data
        self._first: Seen | None = None

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self.single is not None:
            yield self.single
            return
        for batch in self.data:
            yield as_batch(batch)

    def tensors(self) -> Iterator[Tensor]:
        """Yield the tensors of a single batch."""
        if self.single is not None:
            inputs, targets = self.single
            yield from tensors_in(inputs)
            yield from tensors_in(unweighted(targets))

    def forget(self) -> None:
        """Forget what the data gave, since the model has changed."""
        self._first = None

    def check(self, seen: Seen, precision: torch.dtype) -> None:
        """Raise DataError where a reading gave nothing, or something else than the first one."""
        if not seen.batches:
            raise DataError(
                "The data gave no batch: an empty loader, or one that can be read only once. Give a list "
                "of batches."
            )
        if not seen.weight:
            raise DataError(
                "Nothing in the data counts for the loss: all targets are ignored, or weigh 0."
            )
        first, self._first = self._first, self._first or seen
        if first is None:
            return
        near = math.sqrt(torch.finfo(precision).eps)
        alike = (
            first[:2] == seen[:2]
            and math.isclose(first.weight, seen.weight, rel_tol=near)
            and (math.isclose(first.loss, seen.loss, rel_tol=near) or first.loss != first.loss)
        )
        if not alike:
            raise DataError(
                f"The data changed between two products: first {_words(first)}, now {_words(seen)}. "
                "Products with different data belong to different matrices. Give a list of batches, or a "
                "loader without a state of its own."
            )


def as_batch(batch: Any) -> tuple[Any, Any]:
    """Return a batch as (inputs, targets); weights of rows go with the targets."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, (tuple, list)) and len(batch) == 3:
        return batch[0], weigh_batch(batch[1], batch[2])
    raise DataError(
        f"A batch must be (inputs, targets), or (inputs, targets, weights); got {describe_batch(batch)}. "
        "Several inputs are one tuple: ((a, b), y)."
    )


def _words(seen: Seen) -> str:
    return f"{seen.batches} batches of {seen.rows} rows, Σ|weight × loss| = {seen.loss:.6g}"
