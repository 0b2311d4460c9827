"""In-memory batching by index, and the order in which an epoch visits the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from thalweg.errors import TaskError

Shuffle = Literal["epoch", "once", "never"]

# Rows are gathered for several batches at a time while they fit the cache: one indexing call then
# serves them all. Larger blocks are slower, since the batch has left the cache when it is used.
_BLOCK = 1 << 17
# Up to this many bytes a set is copied once for passes in order, and not batch by batch.
_KEPT = 1 << 28


@dataclass(frozen=True)
class Order:
    """The order of the rows in each epoch, a pure function of (seed, epoch), so a resumed run
    repeats it.

    `shuffle`: "epoch" draws a new permutation each epoch, "once" one for the whole run, "never"
    none.
    """

    seed: int
    shuffle: Shuffle = "epoch"

    def __post_init__(self) -> None:
        if self.shuffle not in ("epoch", "once", "never"):
            raise TaskError(f"shuffle must be 'epoch', 'once' or 'never'; got {self.shuffle!r}.")

    def generator(self, epoch: int) -> torch.Generator:
        """Return the generator that draws the order of `epoch`."""
        key = epoch if self.shuffle == "epoch" else 0
        return torch.Generator("cpu").manual_seed(derive(self.seed, "order", key))

    def permutation(self, rows: int, epoch: int) -> Tensor | None:
        """Return the permutation of `epoch` as row numbers, or None for the order in which the rows
        stand.
        """
        if self.shuffle == "never":
            return None
        # On the CPU, where the generator is, also under torch.set_default_device.
        return torch.randperm(rows, generator=self.generator(epoch), device="cpu")


def derive(seed: int, *stream: str | int) -> int:
    """Return a seed for one stream of random numbers, unrelated to those of the other streams
    (splitmix64).

    >>> derive(0, "order", 1) != derive(0, "order", 2) != derive(1, "order", 1)
    True
    """
    state = seed & _MASK
    for part in stream:
        word = part if isinstance(part, int) else int.from_bytes(part.encode()[:8], "little")
        state = _mix(state ^ _mix(word & _MASK))
    return state >> 1  # torch takes 63 bits


class Lent:
    """A copy of two tensors that is handed out, and made again only after somebody has written to it.

    Copying a large set at each step would take as long as a small model takes to learn from it.
    PyTorch counts the writes to a tensor; those that go around its count, by `.data` or NumPy, are
    looked for once, after the first use.
    """

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self._own = inputs, targets
        self._copies: tuple[Tensor, ...] = ()
        self._versions: list[int] = []
        self._is_tried = self._is_untracked = False

    def take(self) -> tuple[Tensor, Tensor]:
        """Return tensors equal to the originals, to which the taker may write."""
        if not self._copies or self._was_written_to():
            self._copies = tuple(tensor.clone() for tensor in self._own)
            self._versions = [tensor._version for tensor in self._copies]
        inputs, targets = self._copies
        return inputs, targets

    def _was_written_to(self) -> bool:
        if self._is_untracked or self._versions != [each._version for each in self._copies]:
            return True
        if not self._is_tried:
            self._is_tried = True
            self._is_untracked = not all(map(torch.equal, self._own, self._copies))
        return self._is_untracked


def batches(
    inputs: Tensor,
    targets: Tensor,
    batch_size: int | None,
    permutation: Tensor | None = None,
    lent: Lent | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the rows in batches; the last one holds what is left. `batch_size` None is one batch of
    all.

    A single batch has the set's own order: the mean over all rows has no order, and so
    a batch of all rows gives the very same numbers as gradient descent on the set.

    Every batch is a copy, of `lent` where that is given. A model whose first layer works in place,
    or a loss that changes its targets, would else change the set.
    """
    rows = len(inputs)
    if batch_size is None or batch_size >= rows:
        yield (inputs.clone(), targets.clone()) if lent is None else lent.take()
        return
    if permutation is None:
        if lent is not None and inputs.nbytes + targets.nbytes <= _KEPT:
            inputs, targets = lent.take()
            yield from zip(
                torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True
            )
            return
        for x, y in zip(
            torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True
        ):
            yield x.clone(), y.clone()
        return
    permutation = permutation.to(inputs.device)
    width = max(1, inputs.numel() // rows)
    block = batch_size * max(1, _BLOCK // (batch_size * width))
    for index in torch.split(permutation, block):
        yield from zip(
            torch.split(inputs.index_select(0, index), batch_size),
            torch.split(targets.index_select(0, index), batch_size),
            strict=True,
        )


def row_order(rows: int, batch_size: int | None, order: Order | None, epoch: int) -> Tensor | None:
    """Return the order of the rows in an epoch; None for the set's own, which a single batch has."""
    if order is None or batch_size is None or batch_size >= rows:
        return None
    return order.permutation(rows, epoch)


def row_batches(
    rows: int, batch_size: int | None, order: Order | None, epoch: int
) -> tuple[Tensor, ...]:
    """Return which rows are in each batch of an epoch."""
    permutation = row_order(rows, batch_size, order, epoch)
    index = torch.arange(rows) if permutation is None else permutation
    return torch.split(index, rows if batch_size is None else min(batch_size, rows))


def left_over(rows: int, batch_size: int | None) -> int:
    """Return how many rows the last batch has.

    >>> left_over(129, 64), left_over(128, 64), left_over(9, None)
    (1, 64, 9)
    """
    if batch_size is None or batch_size >= rows:
        return rows
    return rows % batch_size or batch_size


_MASK = (1 << 64) - 1


def _mix(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)
