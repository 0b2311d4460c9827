"""Where batches come from: arrays in memory, a torch data set, or the user's own data loader."""

from __future__ import annotations

import contextlib
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
)

from thalweg.errors import DataError
from thalweg.generators import (
    Generator,
    generators_of,
    is_generator,
    kept,
    seed_generator,
    with_parts,
)
from thalweg.objective.nested import mapped, moves_itself, rows_of
from thalweg.objective.weighted import weigh_batch
from thalweg.tasks.sources.batches import Lent, Order, batches, derive, left_over, row_order
from thalweg.tasks.sources.drawn import drawn
from thalweg.tasks.sources.mappings import check_no_mapping, taken_apart
from thalweg.tasks.sources.tensors import as_tensor

Batch = tuple[Any, Any]


@dataclass(frozen=True)
class Placement:
    """Where batches go: a device, and the dtype of floating-point numbers (None keeps theirs)."""

    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype | None = None

    def __call__(self, value: Any) -> Any:
        """Return `value` moved there, as an object of the same kind (`thalweg.objective.nested.mapped`).

        A batch of a class of its own moves itself to the device, by its method `to`.
        """
        return mapped(value, self._tensor, self._other)

    def _tensor(self, tensor: Tensor) -> Tensor:
        dtype = self.dtype if tensor.is_floating_point() else None
        return tensor.to(device=self.device, dtype=dtype)

    def _other(self, value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" and value.ndim:
            return self._tensor(as_tensor(value, "arrays of a batch"))
        if not moves_itself(value):
            return value
        moved = value.to(self.device)
        return value if moved is None else moved


class Source(ABC):
    """A set of (inputs, targets) that can be run through in batches."""

    @property
    @abstractmethod
    def rows(self) -> int | None:
        """The number of rows, or None where it is not known before the end."""

    @abstractmethod
    def batches(
        self,
        batch_size: int | None,
        order: Order | None = None,
        epoch: int = 1,
        place: Placement | None = None,
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch; without `order`, in the order in which the rows stand.

        A batch is the taker's own: what changes it in place does not change the set. With an
        `order` the set's own generators are seeded for the epoch.
        """

    @property
    def generators(self) -> list[Generator]:
        """The random generators of its own that the set draws from."""
        return []

    @contextlib.contextmanager
    def untraced(self) -> Iterator[None]:
        """Restore the states of the set's generators at the end of the block (a context manager)."""
        with kept(self.generators):
            yield

    def smallest_batch(self, batch_size: int | None) -> int | None:
        """Return how many rows the smallest batch of an epoch of training has, or None where that is
        not known before.
        """
        rows = self.rows
        return None if rows is None else left_over(rows, batch_size)

    def placed(self, place: Placement) -> Source:
        """Return the set with all that can be moved once already in `place`."""
        return self

    def first(self, count: int) -> Batch:
        """Return the first rows, about `count` of them, to look at."""
        for batch in self.batches(count):
            if rows_of(batch[0]) != 0:
                return batch
        raise DataError(
            "The data set yields no batch: it is empty, or its loader drops a batch that is not full."
        )


@dataclass(frozen=True, eq=False)
class ArraySource(Source):
    """Two tensors in memory with one row per sample, batched by index.

    `lent` is the copy from which batches are given while nobody else changes the tensors: in a run.
    """

    inputs: Tensor
    targets: Tensor
    lent: Lent | None = dataclasses.field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<{self.rows} rows: {_kind(self.inputs)} -> {_kind(self.targets)}>"

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.inputs)

    def batches(
        self,
        batch_size: int | None,
        order: Order | None = None,
        epoch: int = 1,
        place: Placement | None = None,
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        source = self if place is None else self.placed(place)
        permutation = row_order(self.rows, batch_size, order, epoch)
        return batches(source.inputs, source.targets, batch_size, permutation, source.lent)

    def placed(self, place: Placement) -> ArraySource:
        """Return the set in `place`."""
        inputs, targets = place(self.inputs), place(self.targets)
        if inputs is self.inputs and targets is self.targets:
            return self
        return ArraySource(inputs, targets)

    def lending(self) -> ArraySource:
        """Return the set for a run, in which only the taker of a batch may write to it."""
        return ArraySource(self.inputs, self.targets, Lent(self.inputs, self.targets))

    def select(self, index: Tensor) -> ArraySource:
        """Return the rows at `index`."""
        return ArraySource(self.inputs[index], self.targets[index])


@dataclass(frozen=True, eq=False)
class DatasetSource(Source):
    """A torch `Dataset` of (input, target) pairs, map-style or iterable.

    `target` is the name of the targets, where rows are mappings. What the set draws at random is a function
    of the run's seed and the epoch: by the global generators of PyTorch, NumPy and Python, or by
    generators among its attributes.
    """

    dataset: Dataset[Any]
    target: str | None = None

    @property
    def generators(self) -> list[Generator]:
        """The random generators that the data set and its parts hold."""
        return generators_of(self.dataset)

    @property
    def rows(self) -> int | None:
        """The number of rows; None for an iterable data set."""
        return None if isinstance(self.dataset, IterableDataset) else _length(self.dataset)

    def batches(
        self,
        batch_size: int | None,
        order: Order | None = None,
        epoch: int = 1,
        place: Placement | None = None,
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch; an iterable data set keeps its own order."""
        rows = self.rows
        # A loader draws a seed for its workers, from the global generator unless it has its own.
        own = torch.Generator() if order is None else order.generator(epoch)
        if order is not None:
            _seed_noise(self.generators, order, epoch)
        if rows is None:
            if batch_size is None:
                raise DataError(
                    "An iterable data set has no length, so batch_size=None (all rows) cannot be."
                )
            loader: DataLoader[Any] = DataLoader(self.dataset, batch_size, generator=own)
        else:
            size = rows if batch_size is None else min(batch_size, rows)
            permutation = row_order(rows, batch_size, order, epoch)
            indices = range(rows) if permutation is None else permutation.tolist()
            loader = DataLoader(self.dataset, size, sampler=indices, generator=own)
        return _pairs(loader, place or Placement(), self.target)


@dataclass(frozen=True, eq=False)
class LoaderSource(Source):
    """The user's own `DataLoader`: its batch size, workers and sampling stay as they are.

    Where it shuffles, its order is drawn from the run's seed: from the global generator, which
    `fit` seeds for each epoch, or from its own generator, which is seeded likewise. So are the
    generators that its data set holds. Workers are seeded by PyTorch when they begin, so each pass
    begins with new ones: those of `persistent_workers` would draw on from where they were.

    `target` is the name of the targets, where batches are mappings.
    """

    loader: DataLoader[Any]
    target: str | None = None

    @property
    def rows(self) -> int | None:
        """The number of rows; None for an iterable data set."""
        dataset = self.loader.dataset
        return None if isinstance(dataset, IterableDataset) else _length(dataset)

    @property
    def generators(self) -> list[Generator]:
        """The random generators of its own that the loader draws from."""
        return [*self._ordering(), *self._others()]

    def _ordering(self) -> list[Generator]:
        """Return the generators that draw the order: the loader's, and those of its samplers."""
        found: list[Any] = [self.loader.generator]
        for name in ("sampler", "batch_sampler"):
            for part in with_parts(getattr(self.loader, name, None)):
                found += vars(part).values()
        return list({id(each): each for each in found if is_generator(each)}.values())

    def _others(self) -> list[Generator]:
        ordering = {id(each) for each in self._ordering()}
        return [each for each in generators_of(self.loader) if id(each) not in ordering]

    def batches(
        self,
        batch_size: int | None,
        order: Order | None = None,
        epoch: int = 1,
        place: Placement | None = None,
    ) -> Iterator[Batch]:
        """Yield the loader's batches of one epoch; `batch_size` is the loader's own."""
        if order is not None:
            for generator in self._ordering():
                seed_generator(generator, order.generator(epoch).initial_seed())
            _seed_noise(self._others(), order, epoch)
        if self.loader.persistent_workers:
            self.loader._iterator = None
        return _pairs(self.loader, place or Placement(), self.target)

    @contextlib.contextmanager
    def untraced(self) -> Iterator[None]:
        """Restore the loader's workers and the states of its generators at the end of the block."""
        workers = self.loader._iterator
        try:
            with super().untraced():
                yield
        finally:
            self.loader._iterator = workers

    def smallest_batch(self, batch_size: int | None) -> int | None:
        """Return how many rows the smallest batch has, where the loader's own sampler tells."""
        size, sampler = self.loader.batch_size, self.loader.sampler
        if size is None or self.rows is None or not hasattr(sampler, "__len__"):
            return None
        rows = len(cast("Sized", sampler))
        return size if self.loader.drop_last else left_over(rows, size)


def _seed_noise(generators: list[Generator], order: Order, epoch: int) -> None:
    for place, generator in enumerate(generators):
        seed_generator(generator, derive(order.seed, "own", epoch, place))


def as_source(value: Any, where: str = "train") -> Source:
    """Return the `Source` that arrays, a torch data set or a data loader stand for.

    A pair (x, y) is a pair of NumPy arrays, tensors or nested lists with one row per sample. x
    alone stands for (x, x): a model that learns to repeat its input.
    """
    if isinstance(value, Source):
        return value
    if isinstance(value, TensorDataset) and len(value.tensors) == 2:
        return as_arrays(value.tensors[0], value.tensors[1], where)
    if isinstance(value, (DataLoader, Dataset)):
        source = LoaderSource(value) if isinstance(value, DataLoader) else DatasetSource(value)
        if source.rows == 0:
            raise DataError(f"The {where} set is empty.")
        return source
    if isinstance(value, Tensor) or hasattr(value, "__array__"):
        return as_arrays(value, value, where=where)
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return as_arrays(value[0], value[1], where)
    check_no_mapping(value, f"The {where} set is")
    raise DataError(
        f"The {where} set must be a pair (x, y) of arrays, a torch Dataset or a DataLoader; got "
        f"{type(value).__name__}. Of rows that are pairs make a loader, DataLoader(rows, batch_size)."
    )


def as_arrays(x: Any, y: Any, where: str = "train") -> ArraySource:
    """Return `x` and `y` as an `ArraySource`, having checked lengths and numbers.

    Integer targets become int64, as torch's losses want class numbers. Raises DataError for an
    empty set, unequal lengths, and numbers that are NaN or infinite.
    """
    check_no_mapping(x, f"The {where} inputs are")
    check_no_mapping(y, f"The {where} targets are")
    inputs, targets = as_tensor(x, f"{where} inputs"), as_tensor(y, f"{where} targets")
    if len(inputs) != len(targets):
        raise DataError(
            f"The {where} set has {len(inputs)} rows of inputs but {len(targets)} of targets."
        )
    if not len(inputs):
        raise DataError(f"The {where} set is empty.")
    for tensor, role in ((inputs, "inputs"), (targets, "targets")):
        _check_finite(tensor, f"{where} {role}")
    if not (targets.is_floating_point() or targets.is_complex()):
        targets = targets.long()
    return ArraySource(inputs, targets)


def _check_finite(tensor: Tensor, what: str) -> None:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return
    # The sum is finite unless some number is not (or it overflows): one cheap pass decides nearly
    # always.
    if torch.isfinite(tensor.sum()) or bool(torch.isfinite(tensor).all()):
        return
    bad = ~torch.isfinite(tensor).reshape(len(tensor), -1).all(1)
    row = int(bad.nonzero()[0])
    raise DataError(
        f"The {what} hold NaN or infinity in {int(bad.sum())} of {len(tensor)} rows, first in row "
        f"{row}. Remove these rows or fill the gaps before training."
    )


def _pairs(loader: DataLoader[Any], place: Placement, target: str | None) -> Iterator[Batch]:
    for number, batch in enumerate(drawn(loader), 1):
        if isinstance(batch, Mapping):
            inputs, targets = taken_apart(batch, target)
            yield place(inputs), place(targets)
            continue
        if not (isinstance(batch, (tuple, list)) and len(batch) in (2, 3)):
            count = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
            raise DataError(
                "A data set must yield pairs (inputs, targets), (inputs, targets, weights), or mappings "
                f"with the targets among them; batch {number} of this one is {type(batch).__name__}{count}. "
                "Let its rows be pairs: several inputs are one tuple or mapping, ((a, b), y)."
            )
        targets = place(batch[1])
        yield place(batch[0]), targets if len(batch) == 2 else weigh_batch(targets, place(batch[2]))


def _length(dataset: Dataset[Any]) -> int:
    try:
        return len(dataset)  # type: ignore[arg-type]
    except TypeError:
        raise DataError(
            f"{type(dataset).__name__} has no length. A data set without one derives from "
            "IterableDataset."
        ) from None


def _kind(rows: Tensor) -> str:
    """Return dtype and shape of one of the rows."""
    return f"{str(rows.dtype).removeprefix('torch.')} {tuple(rows.shape[1:])}"
