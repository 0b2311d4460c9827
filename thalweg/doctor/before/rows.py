"""The rows of a set, read to be looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.objective.nested import rows_of, tensors_in
from thalweg.objective.weighted import Weighted
from thalweg.tasks.data import Data
from thalweg.tasks.sources.source import Source
from thalweg.tasks.task import Task

MOST_ROWS = 20_000
"""The rows of a set that are looked at, the first ones."""


@dataclass(frozen=True)
class SeenRows:
    """The first rows of a set: a hash of each row's inputs, the inputs if they are one tensor, the targets.

    `inputs` is float64 (rows, features); `labels` int64 (rows,) of class numbers; `values` float64
    (rows, outputs). Each is None where the set has no such thing.
    """

    hashes: list[bytes]
    inputs: Tensor | None
    labels: Tensor | None
    values: Tensor | None

    @property
    def rows(self) -> int:
        """How many were read."""
        return len(self.hashes)


def read_sets(task: Task) -> dict[str, SeenRows]:
    """Return the first rows of each set by its name; sets that yield no tensors are left out."""
    found = {}
    for name, source in sets_of(task.data):
        with source.untraced():
            seen = _read(source)
        if seen is not None:
            found[name] = seen
    return found


def sets_of(data: Data) -> Iterable[tuple[str, Source]]:
    """Return the sets that are there with their names."""
    for name in ("train", "validation", "test"):
        source = getattr(data, name)
        if source is not None:
            yield name, source


def _read(source: Source) -> SeenRows | None:
    hashes: list[bytes] = []
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    for x, y in source.batches(1024):
        columns = [t for t in tensors_in(x) if t.ndim and len(t) == rows_of(x)]
        if not columns:
            return None
        hashes += _hashes(columns)
        inputs += [columns[0]] if len(columns) == 1 else []
        plain = y.targets if isinstance(y, Weighted) else y
        targets += [plain] if isinstance(plain, Tensor) else []
        if len(hashes) >= MOST_ROWS:
            break
    if not hashes:
        return None
    x = _joined(inputs, len(hashes))
    y = _joined(targets, len(hashes))
    is_label = y is not None and not y.is_floating_point() and y.ndim == 1
    return SeenRows(
        hashes,
        None if x is None or x.is_complex() else x.reshape(len(x), -1).double(),
        y.long() if y is not None and is_label else None,
        None if y is None or is_label or y.is_complex() else y.reshape(len(y), -1).double(),
    )


def _joined(parts: list[Tensor], rows: int) -> Tensor | None:
    """Return the parts as one tensor of so many rows, or None where they do not fit together."""
    if not parts or len({p.shape[1:] for p in parts}) > 1 or sum(map(len, parts)) != rows:
        return None
    return torch.cat([p.detach().cpu() for p in parts])


def _hashes(columns: list[Tensor]) -> Iterator[bytes]:
    plain: list[Any] = []
    for column in columns:
        flat = column.detach().cpu().reshape(len(column), -1).contiguous()
        plain.append(flat.view(torch.uint8).numpy())
    for row in range(len(columns[0])):
        digest = hashlib.blake2b(digest_size=12)
        for column in plain:
            digest.update(column[row].tobytes())
        yield digest.digest()
