"""The batches of a stack: for each model those that it would see alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.tasks.batches import Lent, Order, Shuffle
from thalweg.tasks.sources import ArraySource


@dataclass(frozen=True)
class StackBatch:
    """The rows of one step, with a first axis over the models unless they are the same for all."""

    inputs: Tensor
    targets: Tensor
    shared: bool

    @property
    def rows(self) -> int:
        """How many rows of the training set each model sees."""
        return len(self.targets) if self.shared else self.targets.shape[1]

    def of(self, row: int) -> tuple[Tensor, Tensor]:
        """Return the batch of one model."""
        return (self.inputs, self.targets) if self.shared else (self.inputs[row], self.targets[row])


class Batches:
    """The training set in the order of each model's seed.

    Rows are gathered once for each seed, then shared out among its models.
    """

    def __init__(
        self, source: ArraySource, seeds: Sequence[int], size: int | None, shuffle: Shuffle
    ) -> None:
        self._source = source
        self._lent = Lent(source.inputs, source.targets)
        self._shuffle = shuffle
        rows = len(source.inputs)
        self._size = rows if size is None else min(size, rows)
        self.keep(seeds)

    def keep(self, seeds: Sequence[int]) -> None:
        """Go on with the models of these seeds."""
        self._distinct = list(dict.fromkeys(seeds))
        places = {seed: k for k, seed in enumerate(self._distinct)}
        self._which = torch.tensor([places[seed] for seed in seeds])
        self._one_each = self._distinct == list(seeds)

    def epoch(self, epoch: int) -> Iterator[StackBatch]:
        """Yield the batches of one epoch, in copies; the last one holds what is left."""
        x, y = self._source.inputs, self._source.targets
        rows = len(x)
        if self._size == rows:
            yield StackBatch(*self._lent.take(), shared=True)
            return
        orders = [Order(seed, self._shuffle).permutation(rows, epoch) for seed in self._distinct]
        if orders[0] is None:
            for part_x, part_y in zip(
                torch.split(x, self._size), torch.split(y, self._size), strict=True
            ):
                yield StackBatch(part_x.clone(), part_y.clone(), shared=True)
            return
        together = torch.stack([order for order in orders if order is not None])
        for index in torch.split(together, self._size, dim=1):
            yield self._gathered(x, y, index)

    def _gathered(self, x: Tensor, y: Tensor, index: Tensor) -> StackBatch:
        flat = index.reshape(-1)
        inputs, targets = x.index_select(0, flat), y.index_select(0, flat)
        if len(index) == 1:
            return StackBatch(inputs, targets, shared=True)
        inputs = inputs.view(*index.shape, *inputs.shape[1:])
        targets = targets.view(*index.shape, *targets.shape[1:])
        if not self._one_each:
            inputs, targets = (part.index_select(0, self._which) for part in (inputs, targets))
        return StackBatch(inputs, targets, shared=False)
