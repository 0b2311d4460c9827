"""A data set read once into memory, which then gives the same batches without reading its items again."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from thalweg.errors import DataError
from thalweg.generators import Generator, kept, seed_generator
from thalweg.objective.nested import is_plain, mapped, tensors_in
from thalweg.tasks.sources.batches import Order, row_batches
from thalweg.tasks.sources.source import ArraySource, Batch, DatasetSource, Placement, Source

_PIECE = 64
"""Items are read so many at a time: no second copy of the whole set is held."""
_AGAIN = 8
"""So many items are read again, spread over the set."""
_FROZEN = (
    "A cache would give the same in every epoch. Leave the set uncached (cache=False), or cache it without "
    "the augmentation and let a module of the model augment the batches while it trains."
)


@dataclass(frozen=True, eq=False)
class CachedSource(DatasetSource):
    """A data set whose items are held in memory, with inputs or targets of several tensors."""

    inputs: Any = None
    targets: Any = None

    def batches(
        self,
        batch_size: int | None,
        order: Order | None = None,
        epoch: int = 1,
        place: Placement | None = None,
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        moved = place or Placement()
        for part in row_batches(self.rows or 0, batch_size, order, epoch):
            yield moved(_picked(self.inputs, part)), moved(_picked(self.targets, part))


def cached(source: Source, what: str) -> Source:
    """Return the set with its items read into memory; its batches are the same, bit by bit.

    Args:
        source: a map-style data set; arrays are in memory as they are.
        what: the name of the set, for errors.

    Raises:
        DataError: the set has no length, draws random numbers or gives other items when it is read again,
            has items of different shapes or of other things than tensors, or does not fit into memory.
    """
    if isinstance(source, ArraySource):
        return source
    if not isinstance(source, DatasetSource) or source.rows is None:
        raise DataError(
            f"The {what} set cannot be cached: only a data set with a length and an index can."
        )
    generators = [*_global_generators(), *source.generators]
    with kept(generators):
        before = [_state(each) for each in generators]
        held = _read(source, source.rows, what)
        if not _same(before, [_state(each) for each in generators]):
            raise DataError(
                f"The {what} set draws random numbers when its items are read, as augmentation does. "
                f"{_FROZEN}"
            )
        _check_again(source, held, generators, what)
    inputs, targets = held
    if isinstance(inputs, Tensor) and isinstance(targets, Tensor):
        return ArraySource(inputs, targets)
    return CachedSource(source.dataset, inputs=inputs, targets=targets)


def bytes_as_tensors(batch: Batch, rows_of_batch: int, rows: int) -> float:
    """Return how many bytes `rows` rows like those of `batch` take."""
    return sum(tensor.nbytes for tensor in tensors_in(batch)) / rows_of_batch * rows


def free_memory() -> int | None:
    """Return how many bytes of memory a program may still take; None where the system does not say.

    On Linux with what holds copies of files, which give way.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _read(source: DatasetSource, rows: int, what: str) -> Batch:
    """Read all items, collated as PyTorch's loader collates them."""
    pieces = source.batches(_PIECE)
    start, whole = 0, None
    for piece in pieces:
        count = min(_PIECE, rows - start)
        if whole is None:
            _check_kind(piece, count, rows, what)
            whole = mapped(piece, lambda part: part.new_empty((rows, *part.shape[1:])))
        for held, read in zip(tensors_in(whole), tensors_in(piece), strict=True):
            if held.shape[1:] != read.shape[1:] or held.dtype != read.dtype:
                raise DataError(
                    f"The {what} set cannot be cached: the items from {start} on are {_kind(read)}, and "
                    f"those before {_kind(held)}."
                )
            held[start : start + count] = read
        start += count
    assert whole is not None  # a set without rows is refused when it is given
    inputs, targets = whole
    return inputs, targets


def _check_kind(piece: Batch, count: int, rows: int, what: str) -> None:
    def refuse(value: Any) -> Any:
        raise DataError(
            f"The {what} set cannot be cached: its items hold {type(value).__name__}, and only tensors "
            "and numbers are."
        )

    for part in piece:
        if not is_plain(part):
            refuse(part)
        mapped(part, lambda tensor: tensor, refuse)
    size, free = bytes_as_tensors(piece, count, rows), free_memory()
    if free is not None and size > free:
        raise DataError(
            f"The {what} set takes {size / 1e9:.1f} GB as tensors, and {free / 1e9:.1f} GB of memory are "
            "free. Leave it uncached: cache=False."
        )


def _check_again(
    source: DatasetSource, held: Batch, generators: list[Generator], what: str
) -> None:
    """Read some items again, under other seeds, and refuse a set in which one has changed."""
    for place, generator in enumerate(generators):
        seed_generator(generator, place + 1)
    rows = source.rows or 0
    places = sorted({k * (rows - 1) // (_AGAIN - 1) for k in range(_AGAIN)})
    read = next(DatasetSource(Subset(source.dataset, places), source.target).batches(None))
    index = torch.tensor(places)
    for old, new in zip(tensors_in(held), tensors_in(read), strict=True):
        if not _equal(old.index_select(0, index), new):
            raise DataError(
                f"Items of the {what} set are others when they are read again. {_FROZEN}"
            )


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())  # NaN as well


def _global_generators() -> list[Any]:
    """Return the global generators of PyTorch, NumPy and Python as objects."""
    python = random.getstate.__self__  # type: ignore[attr-defined]  # a method of the one that is global
    return [torch.default_generator, np.random.mtrand._rand, python]


def _state(generator: Generator) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state()


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return all(map(_same, a, b))
    return bool(a == b)


def _picked(value: Any, index: Tensor) -> Any:
    return mapped(value, lambda tensor: tensor.index_select(0, index))


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape[1:])}, {str(tensor.dtype).removeprefix('torch.')}"
