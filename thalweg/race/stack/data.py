"""The batches of a stack: for each model those that it would see alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.objective.weighted import Weighted
from thalweg.tasks.sources.batches import Lent, Order, Shuffle
from thalweg.tasks.sources.weighted import Rows, WeightedSource, arrays_of


@dataclass(frozen=True)
class StackBatch:
    """The rows of one step, with a first axis over the models unless they are the same for all.

    So have the weights of rows, where `targets` are `Weighted`.
    """

    inputs: Tensor
    targets: Tensor | Weighted
    shared: bool

    @property
    def rows(self) -> int:
        """How many rows of the training set each model sees."""
        return self.inputs.shape[0 if self.shared else 1]

    def of(self, row: int) -> tuple[Tensor, Tensor | Weighted]:
        """Return the batch of one model."""
        if self.shared:
            return self.inputs, self.targets
        targets = self.targets
        if isinstance(targets, Weighted):
            return self.inputs[row], Weighted(targets.targets[row], targets.weights[row])
        return self.inputs[row], targets[row]


class Batches:
    """The training set in the order of each model's seed.

    Rows are gathered once for each seed, then shared out among its models.
    """

    def __init__(
        self, source: Rows, seeds: Sequence[int], size: int | None, shuffle: Shuffle
    ) -> None:
        arrays = arrays_of(source)
        self._source = arrays
        self._weights = source.weights if isinstance(source, WeightedSource) else None
        self._lent = Lent(arrays.inputs, arrays.targets)
        self._shuffle = shuffle
        rows = len(source.inputs)
        self._size = rows if size is None else min(size, rows)
        self.keep(seeds)

    def keep(self, seeds: Sequence[int]) -> None:
        """Go on with the models of these seeds."""
        self._distinct = list(dict.fromkeys(seeds))
        places = {seed: k for k, seed in enumerate(self._distinct)}
        device = self._source.inputs.device
        self._which = torch.tensor([places[seed] for seed in seeds], device=device)
        self._one_each = self._distinct == list(seeds)

    def epoch(self, epoch: int) -> Iterator[StackBatch]:
        """Yield the batches of one epoch, in copies; the last one holds what is left."""
        x, y = self._source.inputs, self._source.targets
        rows = len(x)
        if self._size == rows:
            whole_x, whole_y = self._lent.take()
            yield StackBatch(whole_x, self._weighed(whole_y, slice(None)), shared=True)
            return
        orders = [Order(seed, self._shuffle).permutation(rows, epoch) for seed in self._distinct]
        if orders[0] is None:
            for start in range(0, rows, self._size):
                part = slice(start, start + self._size)
                targets = self._weighed(y[part].clone(), part)
                yield StackBatch(x[part].clone(), targets, shared=True)
            return
        together = torch.stack([order for order in orders if order is not None]).to(x.device)
        for index in torch.split(together, self._size, dim=1):
            yield self._gathered(x, y, index)

    def _gathered(self, x: Tensor, y: Tensor, index: Tensor) -> StackBatch:
        flat = index.reshape(-1)
        inputs, targets = x.index_select(0, flat), y.index_select(0, flat)
        if len(index) == 1:
            return StackBatch(inputs, self._weighed(targets, flat), shared=True)
        parts = [
            part.view(*index.shape, *part.shape[1:])
            for part in (
                inputs,
                targets,
                *(() if self._weights is None else (self._weights[flat],)),
            )
        ]
        if not self._one_each:
            parts = [part.index_select(0, self._which) for part in parts]
        inputs, targets, *weights = parts
        return StackBatch(inputs, Weighted(targets, *weights) if weights else targets, shared=False)

    def _weighed(self, targets: Tensor, rows: slice | Tensor) -> Tensor | Weighted:
        """Return targets with the weights of their rows, where there are any."""
        return targets if self._weights is None else Weighted(targets, self._weights[rows].clone())
