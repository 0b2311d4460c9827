"""Stacks of matrices in a part: its tensors of one shape, each seen as matrices, one after the other.

A matrix value of a printed function is a list of stacks, K × rows × columns, one for each shape that the part
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
from thalweg.engine.member import Member
from thalweg.engine.program.shapes import WHOLE, Shape, lengths_of, matrix_sizes

Stacked = list[Tensor]
"""A matrix value: a stack for each shape."""


@dataclass(frozen=True)
class ShapeStack:
    """Which tensors of a part have one shape, how many matrices each of them holds, and of which size."""

    places: tuple[int, ...]
    shape: torch.Size
    each: int
    rows: int
    columns: int
    owners: Tensor
    """For each matrix its place in the part."""

    def size(self, shape: Shape) -> tuple[int, int, int]:
        """Return the size of a stack of matrices of this shape."""
        return self.each * len(self.places), *lengths_of(shape, self.rows, self.columns)


class Stacks:
    """The stacks of a part, and what printed functions ask of them.

    Args:
        members: those of the part.
        dtype: in which matrices are computed.
    """

    def __init__(self, members: Sequence[Member], dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._program = members[0].program
        params = self._params = [m.param for m in members]
        together: dict[torch.Size, list[int]] = {}
        for k, p in enumerate(params):
            together.setdefault(p.shape, []).append(k)
        self._stacks = []
        for shape, places in together.items():
            sizes = matrix_sizes(shape, self._program.seen)
            owners = _owners(places, sizes[0], params[0].device)
            self._stacks.append(ShapeStack(tuple(places), shape, *sizes, owners))
        self._states = [
            [[members[place].matrix_states[k] for place in s.places] for s in self._stacks]
            for k in range(len(self._program.matrix_states))
        ]

    def stacked(self, xs: Sequence[Tensor]) -> Stacked:
        """Return a list of tensors as stacks, copied."""
        return [torch.stack([xs[k] for k in s.places]).reshape(s.size(WHOLE)) for s in self._stacks]

    def of_tensors(self, x: Tensor) -> Stacked:
        """Return a vector over tensors as numbers for matrices, K × 1 × 1."""
        return [x.index_select(0, s.owners).reshape(-1, 1, 1) for s in self._stacks]

    def repeated(self, x: Any, shape: Shape) -> Stacked:
        """Return one number, or numbers for each matrix, as stacks of a shape."""
        found = x if isinstance(x, list) else [x] * len(self._stacks)
        return [y.expand(s.size(shape)) for y, s in zip(found, self._stacks, strict=True)]

    def called(self, call: Any, shape: Shape, operands: Sequence[Any]) -> Stacked:
        """Call a matrix function on each stack; an operand that is not a list is a number for all."""
        results = []
        for k, s in enumerate(self._stacks):
            given = tuple(x[k] if isinstance(x, list) else x for x in operands)
            results.append(checked(call.label, call(given), s.size(shape)))
        return results

    def elements(self, xs: Stacked) -> list[Tensor]:
        """Return stacks, or what is repeated over their rows or columns, with the shapes of the tensors."""
        found: list[Any] = [None] * len(self._params)
        for s, x in zip(self._stacks, xs, strict=True):
            whole = x.expand(s.size(WHOLE)).reshape(len(s.places), *s.shape)
            for k, piece in zip(s.places, whole.unbind(), strict=True):
                found[k] = piece
        return found

    # -- states of other shapes -----------------------------------------------------------------------

    def states(self, k: int, shape: Shape) -> Stacked:
        """Return the k-th state of another shape than the parameters', copied."""
        found = []
        for s, states in zip(self._stacks, self._states[k], strict=True):
            whole = torch.stack(states).reshape(s.size(shape))
            found.append(whole if whole.dtype == self._dtype else whole.to(self._dtype))
        return found

    def keep(self, k: int, shape: Shape, xs: Stacked) -> None:
        """Write the new values of the k-th of these states."""
        states: list[Tensor] = []
        new: list[Tensor] = []
        for s, own, x in zip(self._stacks, self._states[k], xs, strict=True):
            states += own
            new += x.expand(s.size(shape)).reshape(len(own), *own[0].shape).unbind()
        torch._foreach_copy_(states, new)


def _owners(places: Sequence[int], each: int, device: torch.device) -> Tensor:
    owners = [k for k in places for _ in range(each)]
    return torch.tensor(owners, dtype=torch.int64, device=device)
