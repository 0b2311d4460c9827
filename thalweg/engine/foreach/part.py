"""A part of a batch: tensors of one row of scalars that are stepped by one call of a printed function."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.dense import reordered
from thalweg.engine.foreach.counted import cells
from thalweg.engine.foreach.slices import Item
from thalweg.engine.foreach.stacks import Stacks
from thalweg.engine.member import Member
from thalweg.engine.program.shapes import Seen, matrix_sizes
from thalweg.engine.rows import ReducedNumbers
from thalweg.engine.storage import unit_elements


class PartGradients:
    """The gradients of a step, whole or in pieces."""

    def __init__(self, grads: Sequence[Tensor], params: Sequence[Tensor]) -> None:
        self._grads, self._params = grads, params
        self._flat: dict[int, Tensor] = {}

    def of(self, items: Sequence[Item]) -> list[Tensor]:
        """Return the gradients of some tensors, or the pieces of them."""
        return [
            self._grads[k] if start is None else self._in_order(k)[start:stop]
            for k, start, stop in items
        ]

    def _in_order(self, k: int) -> Tensor:
        """Return the elements of a gradient in the order in which its parameter stores its own."""
        if k not in self._flat:
            self._flat[k] = flattened(reordered(self._grads[k], self._params[k]))
        return self._flat[k]


class ListPart:
    """The lists of parameters and states of some tensors, and what printed functions ask about them.

    Args:
        members: the members of the batch.
        items: which tensors, or pieces of tensors.
        dtype: in which elements are computed.
        wide: in which reductions are computed.
        places: which numbers of its param group are its own; None where those live on the host.
    """

    def __init__(
        self,
        members: Sequence[Member],
        items: Sequence[Item],
        dtype: torch.dtype,
        wide: torch.dtype,
        places: Sequence[int] | None = None,
    ) -> None:
        self.items = items
        self.dtype, self.wide = dtype, wide
        self.members = [members[item.position] for item in items]
        self._params = [m.param for m in self.members]
        self.device = self._params[0].device
        columns = zip(*([m.param, *m.shaped] for m in self.members), strict=True)
        self.slots = [
            [_piece(x, item) for x, item in zip(column, items, strict=True)] for column in columns
        ]
        own = len(self.members[0].shaped)
        self.scales = [list(x) for x in zip(*(m.states[own:] for m in self.members), strict=True)]
        """Those of states of 8 bits."""
        self.ordinals = [m.ordinal for m in self.members]
        self.count = 0
        """The number of elements of all tensors of the step."""
        self.reads: list[Any] = []
        """The numbers that a step reads: of the host, or vectors over its tensors."""
        self._places = (
            None if places is None else torch.tensor(places, dtype=torch.int64, device=self.device)
        )
        self._kept: dict[tuple[str, str], Tensor] = {}

    # -- units ---------------------------------------------------------------------------------------

    @cached_property
    def unit_counts(self) -> list[int]:
        """How many units each tensor has."""
        return [p.shape[0] if p.ndim > 1 else 1 for p in self._params]

    @cached_property
    def unit_shapes(self) -> list[tuple[int, ...]]:
        """The shape in which a number for each unit meets its tensor."""
        return [(p.shape[0], *(1 for _ in p.shape[1:])) if p.ndim > 1 else () for p in self._params]

    @cached_property
    def tensor_of_unit(self) -> Tensor:
        """Which tensor each unit belongs to."""
        owners = [k for k, n in enumerate(self.unit_counts) for _ in range(n)]
        return torch.tensor(owners, dtype=torch.int64, device=self.device)

    @cached_property
    def stacks(self) -> Stacks:
        """Its tensors as stacks of matrices."""
        return Stacks(self.members, self.dtype)

    # -- leaves --------------------------------------------------------------------------------------

    def leaf(self, op: str, data: str) -> Tensor:
        """Return a leaf of the program: a vector over tensors, or one number for all."""
        if (op, data) == ("count", "all"):
            return torch.full((), float(self.count), dtype=self.wide, device=self.device)
        if op == "number":
            return self._number(data)
        if (op, data) not in self._kept:
            seen = self.members[0].program.seen
            values = [_leaf(op, data, p, seen) for p in self._params]
            self._kept[op, data] = torch.tensor(values, dtype=self.wide, device=self.device)
        return self._kept[op, data]

    @cached_property
    def _numbers(self) -> ReducedNumbers:
        start = 1 + len(self.members[0].program.scalar_outputs)
        return ReducedNumbers([(m.block, m.line) for m in self.members], start)

    def own(self, x: Any) -> Any:
        """Return what its tensors have of a number, or of a vector over those of its param group."""
        if self._places is None or not isinstance(x, Tensor):
            return x
        return x.index_select(0, self._places)

    @cached_property
    def _cells(self) -> list[list[Tensor]]:
        """The scalar states that are computed from reductions, where they live on the device."""
        return cells(self.members)[1 + len(self.members[0].program.scalar_outputs) :]

    def _number(self, name: str) -> Tensor:
        place = list(self.members[0].program.number_outputs).index(name)
        if self._places is not None:
            return torch.stack(self._cells[place])
        vector = torch.from_numpy(self._numbers.read(place))
        return vector.to(device=self.device, dtype=self.wide)

    def keep(self, numbers: Sequence[Tensor]) -> None:
        """Keep the new scalar states; where the host holds them this waits for the device, once."""
        rows = [x.expand(len(self.members)) for x in numbers]
        if self._places is not None:
            for kept, row in zip(self._cells, rows, strict=True):
                torch._foreach_copy_(kept, list(row.unbind()))
        elif rows:
            for place, row in enumerate(torch.stack(rows).cpu().double().numpy()):
                self._numbers.write(place, row)


def _leaf(op: str, data: str, p: Tensor, seen: Seen) -> float:
    if op == "dimensions":
        return float(p.ndim)
    if op in ("rows", "columns"):
        return float(matrix_sizes(p.shape, seen)[1 if op == "rows" else 2])
    return float(unit_elements(p) if data == "unit" else p.numel())


def _piece(x: Tensor, item: Item) -> Tensor:
    return x if item.start is None else flattened(x)[item.start : item.stop]


def flattened(x: Tensor) -> Tensor:
    """Return the elements of a dense tensor in the order in which they are stored."""
    return x.detach().as_strided((x.numel(),), (1,))
