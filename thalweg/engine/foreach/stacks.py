"""Stacks of matrices in a part: its tensors of one size, each seen as matrices, one after the other.

A matrix value of a printed function is a list of stacks, K × rows × columns, one for each size that the part
has. A stack is made by copying, so that what is later written in place is never part of one, and a matrix
function may return what it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.matrix.function import checked
from thalweg.engine.matrix.printed import fitted
from thalweg.engine.member import Member
from thalweg.engine.program.shapes import WHOLE, Shape, matrix_sizes

Stacked = list[Tensor]
"""A matrix value: a stack for each size."""


@dataclass(frozen=True)
class Stack:
    """Which tensors of a part have one size: that of their matrices, and how many each of them holds."""

    places: tuple[int, ...]
    each: int
    rows: int
    columns: int
    owners: Tensor
    """For each matrix its place in the part."""

    def size(self, shape: Shape) -> tuple[int, int, int]:
        """Return the size of a stack of matrices of this shape."""
        sides = {"m": self.rows, "n": self.columns, "1": 1}
        return self.each * len(self.places), sides[shape[0]], sides[shape[1]]


class Stacks:
    """The stacks of a part, and what printed functions ask of them.

    Args:
        members: those of the part.
        dtype: in which matrices are computed.
    """

    def __init__(self, members: Sequence[Member], dtype: torch.dtype) -> None:
        self._members, self._dtype = members, dtype
        self._program = members[0].program
        params = self._params = [m.param for m in members]
        together: dict[tuple[int, int, int], list[int]] = {}
        for k, p in enumerate(params):
            together.setdefault(matrix_sizes(p.shape, self._program.seen), []).append(k)
        self._stacks = [
            Stack(tuple(places), *sizes, _owners(places, sizes[0], params[0].device))
            for sizes, places in together.items()
        ]

    def stacked(self, xs: Sequence[Tensor]) -> Stacked:
        """Return a list of tensors as stacks, copied."""
        return [
            torch.cat([xs[k].reshape(s.each, s.rows, s.columns) for k in s.places])
            for s in self._stacks
        ]

    def of_tensors(self, x: Tensor) -> Stacked:
        """Return a vector over tensors as numbers for matrices, K × 1 × 1."""
        return [x.index_select(0, s.owners).reshape(-1, 1, 1) for s in self._stacks]

    def repeated(self, x: Any, shape: Shape) -> Stacked:
        """Return one number, or numbers for each matrix, as stacks of a shape."""
        found = x if isinstance(x, list) else [x] * len(self._stacks)
        return [y.expand(s.size(shape)) for y, s in zip(found, self._stacks, strict=True)]

    def called(self, call: Any, shape: Shape, operands: Sequence[Any]) -> Stacked:
        """Call a matrix function on each stack; an operand that is no list is a number for all."""
        results = []
        for k, s in enumerate(self._stacks):
            given = tuple(x[k] if isinstance(x, list) else x for x in operands)
            results.append(checked(call.label, call(given), s.size(shape)))
        return results

    def elements(self, xs: Stacked) -> list[Tensor]:
        """Return stacks, or what is repeated over their rows or columns, with the shapes of the tensors."""
        found: list[Any] = [None] * len(self._params)
        for s, x in zip(self._stacks, xs, strict=True):
            whole = x.expand(s.size(WHOLE))
            for k, piece in zip(s.places, torch.split(whole, s.each), strict=True):
                found[k] = piece.reshape(self._params[k].shape)
        return found

    # -- states of other shapes -----------------------------------------------------------------------

    def states(self, k: int, shape: Shape) -> Stacked:
        """Return the k-th state of another shape than the parameters', copied."""
        return [
            torch.cat([self._state(p, k).reshape(s.each, *s.size(shape)[1:]) for p in s.places]).to(
                self._dtype
            )
            for s in self._stacks
        ]

    def keep(self, k: int, xs: Stacked) -> None:
        """Write the new values of the k-th of these states."""
        for s, x in zip(self._stacks, xs, strict=True):
            states = [self._state(p, k) for p in s.places]
            for state, new in zip(states, torch.split(x, s.each), strict=True):
                state.copy_(fitted(new, state))

    def _state(self, place: int, k: int) -> Tensor:
        return self._members[place].matrix_states[k]


def _owners(places: Sequence[int], each: int, device: torch.device) -> Tensor:
    owners = [k for k in places for _ in range(each)]
    return torch.tensor(owners, dtype=torch.int64, device=device)
