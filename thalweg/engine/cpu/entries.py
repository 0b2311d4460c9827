"""The entries of a batch: one slot for each tensor, or unit of a tensor, that is reduced; and their chunks.

Where a program reduces over units, an entry is one unit: a slice of a tensor along its first dimension.
Elsewhere it is a tensor. The per-tensor numbers of a step are arrays over the entries; chunks cut an entry
into pieces that threads share out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.engine.member import Member
from thalweg.engine.program.shapes import Seen, matrix_sizes
from thalweg.engine.storage import elements

NumberArray = np.ndarray[Any, np.dtype[Any]]


class Entries:
    """The entries of the parameters of a batch, in their order."""

    def __init__(
        self, members: Sequence[Member], row_of: Sequence[int], by_unit: bool, seen: Seen = "first"
    ) -> None:
        params = [m.param for m in members]
        counts = np.array([elements(p) for p in params], dtype=np.int64)
        units = [p.shape[0] if by_unit and p.ndim > 1 and p.numel() else 1 for p in params]
        self._units = np.array(units, dtype=np.int64)
        self._first = np.concatenate(([0], np.cumsum(self._units)[:-1]))
        self.total = int(counts.sum())
        self.tensor = np.repeat(np.arange(len(params)), self._units)
        self.lengths = self.spread(counts // self._units)
        self.offsets = (np.arange(len(self.tensor)) - self._first[self.tensor]) * self.lengths
        self.row_of = self.spread(np.array(row_of, dtype=np.int64))
        self.leaves = {
            ("count", "tensor"): self.spread(counts),
            ("count", "unit"): self.lengths,
            ("rows", ""): self.spread(np.array([matrix_sizes(p.shape, seen)[1] for p in params])),
            ("columns", ""): self.spread(
                np.array([matrix_sizes(p.shape, seen)[2] for p in params])
            ),
            ("dimensions", ""): self.spread(np.array([p.ndim for p in params])),
            ("ordinal", ""): self.spread(np.array([m.ordinal for m in members])),
        }

    def __len__(self) -> int:
        return len(self.tensor)

    def spread(self, of_tensors: NumberArray) -> NumberArray:
        """Return for each entry the number of its tensor."""
        return of_tensors[self.tensor]

    def of_tensors(self, of_entries: Any) -> Any:
        """Return for each tensor a number that is the same for all of its entries."""
        return of_entries[self._first] if isinstance(of_entries, np.ndarray) else of_entries

    def chunks(self, longest: int) -> NumberArray:
        """Return the chunks: (tensor, offset, length, row, entry) each; an empty entry has one."""
        pieces = np.maximum(1, -(-self.lengths // longest))
        self.cut(pieces)
        entry = np.repeat(np.arange(len(self)), pieces)
        inside = (np.arange(len(entry)) - self._first_chunk[entry]) * longest
        length = np.minimum(longest, self.lengths[entry] - inside)
        offset = self.offsets[entry] + inside
        chunks = np.stack([self.tensor[entry], offset, length, self.row_of[entry], entry], axis=1)
        return np.ascontiguousarray(chunks, dtype=np.int64)

    def cut(self, pieces: NumberArray) -> None:
        """Say into how many chunks each entry is cut."""
        self._pieces = pieces
        self._first_chunk = np.concatenate(([0], np.cumsum(pieces)[:-1]))

    def runs(self, scope: str) -> NumberArray:
        """Return for each entry ("unit"), or each tensor, its first chunk and how many it has."""
        if scope == "unit":
            return np.stack([self._first_chunk, self._pieces], axis=1)
        pieces = np.add.reduceat(self._pieces, self._first)
        return np.stack([self._first_chunk[self._first], pieces], axis=1)

    def reduce(self, combine: np.ufunc, of_chunks: NumberArray, scope: str) -> NumberArray:
        """Reduce the chunks of each entry, or of each tensor; return a number for each entry."""
        of_entries: NumberArray = combine.reduceat(of_chunks, self._first_chunk)
        if scope == "unit" or len(self) == len(self._units):
            return of_entries
        return self.spread(combine.reduceat(of_entries, self._first))
