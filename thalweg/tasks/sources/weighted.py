"""Arrays whose rows weigh differently in the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from thalweg.errors import DataError
from thalweg.objective.weighted import Weighted, check_weights
from thalweg.tasks.sources.batches import Order, row_batches
from thalweg.tasks.sources.source import (
    ArraySource,
    Batch,
    Placement,
    Source,
    as_arrays,
    as_source,
)
from thalweg.tasks.sources.tensors import as_tensor


@dataclass(frozen=True, eq=False)
class WeightedSource(Source):
    """An `ArraySource` with a weight for each row; its targets come as `Weighted`."""

    arrays: ArraySource
    weights: Tensor

    def __repr__(self) -> str:
        return f"{self.arrays!r}"[:-1] + ", weighted>"

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.arrays.rows

    @property
    def inputs(self) -> Tensor:
        """The inputs."""
        return self.arrays.inputs

    @property
    def targets(self) -> Weighted:
        """The targets of the whole set, with the weights of their rows."""
        return Weighted(self.arrays.targets, self.weights)

    def batches(
        self,
        batch_size: int | None,
        order: Order | None = None,
        epoch: int = 1,
        place: Placement | None = None,
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch, with the rows that an `ArraySource` would yield."""
        source = self if place is None else self.placed(place)
        for rows in row_batches(self.rows, batch_size, order, epoch):
            part = source.select(rows.to(source.inputs.device))
            yield part.inputs, part.targets

    def placed(self, place: Placement) -> WeightedSource:
        """Return the set in `place`."""
        return WeightedSource(self.arrays.placed(place), place(self.weights))

    def select(self, index: Tensor) -> WeightedSource:
        """Return the rows at `index`."""
        return WeightedSource(self.arrays.select(index), self.weights[index])


Rows = ArraySource | WeightedSource
"""A set in memory, whose rows may have weights."""


def arrays_of(rows: Rows) -> ArraySource:
    """Return the arrays of a set, without weights."""
    return rows.arrays if isinstance(rows, WeightedSource) else rows


def as_set(value: Any, where: str = "train") -> Source:
    """Return the `Source` of what `as_source` takes, or of three arrays (x, y, weights).

    Raises:
        DataError: the weights are not one finite number ≥ 0 for each row, or all of them are 0.
    """
    if isinstance(value, TensorDataset) and len(value.tensors) == 3:
        value = value.tensors
    if isinstance(value, (tuple, list)) and len(value) == 3:
        return weigh(as_arrays(value[0], value[1], where), value[2], where)
    return as_source(value, where)


def weigh(arrays: ArraySource, weights: Any, where: str = "train") -> WeightedSource:
    """Return the set with these weights of its rows."""
    rows = as_tensor(weights, f"{where} weights")
    check_weights(rows, arrays.rows, f"the {where} set")
    if not rows.any():
        raise DataError(f"All weights of the {where} set are 0: nothing is left to learn from.")
    rows = rows if rows.is_floating_point() else rows.to(torch.get_default_dtype())
    return WeightedSource(arrays, rows)
