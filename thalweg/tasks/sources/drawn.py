"""What a loader draws; what fails in it, said in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from thalweg.errors import DataError, ThalwegError
from thalweg.objective.blame import blame


def drawn(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield the loader's batches; an error in the user's data set becomes one that says where."""
    batch = 1
    try:
        for drawn in loader:
            yield drawn
            batch += 1
        if batch <= _promised(loader):  # a StopIteration in the user's data set ends the loop
            raise DataError(
                f"The data set ends before its batch {batch} of {_promised(loader)}: one of its items raises "
                "StopIteration, as next(…) of an exhausted iterator does. An item that is not there is an "
                "IndexError, or is left out of the length."
            )
    except (ThalwegError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise DataError(f"The data set fails at batch {batch}. {blame(error)}") from error


def _promised(loader: DataLoader[Any]) -> int:
    """Return how many batches a loader surely has: 0 where that is its own samplers' affair."""
    usual = type(loader.sampler) in (SequentialSampler, RandomSampler, list, range)
    if (
        isinstance(loader.dataset, IterableDataset)
        or type(loader.batch_sampler) is not BatchSampler
    ):
        return 0
    return len(loader) if usual else 0
