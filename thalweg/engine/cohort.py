"""A cohort: the parameters of one program in a plan, and the scalars that their step reads."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from thalweg.engine.member import Member
from thalweg.engine.passes import reductions_over_all
from thalweg.engine.program.printing import host_function
from thalweg.engine.program.program import Program
from thalweg.engine.rows import Row, consecutive

Table = np.ndarray[Any, np.dtype[np.float64]]


class LossScale(NamedTuple):
    """What a loss scaler leaves to a step; None where it leaves nothing."""

    scale: Tensor | None = None
    """By what the loss was multiplied."""
    infinite: Tensor | None = None
    """More than 0 where a gradient is not finite."""


NO_SCALE = LossScale()


class Cohort:
    """Parameters of one program: their rows of scalars, computed once a step.

    Args:
        program: what steps them.
        members: the parameters, each with its position in the plan.
        differentiable: whether hyperparameters may be tensors that require a gradient.
        on_device: whether step numbers live on the device, which counts them; then there are no rows.

    Attributes: `row_of`, the row of each position; `reads`, the scalars that the passes of the present step
    read, a tuple for each row; `over_all`, for each stage the reductions over all tensors; `numbers`, those
    of each param group; `loss_scale`, by what gradients are divided.
    """

    def __init__(
        self,
        program: Program,
        members: Mapping[int, Member],
        differentiable: bool = False,
        on_device: bool = False,
    ) -> None:
        self.program = program
        self.members = members
        self.differentiable = differentiable
        self.over_all = reductions_over_all(program)
        self.on_device = on_device
        self.rows, self.row_of = ([], {}) if on_device else _rows(program, members)
        self.numbers: Sequence[Sequence[Any]] = ()
        self.loss_scale = NO_SCALE
        self.reads: list[tuple[Any, ...]] = []
        self._host: Any = host_function(program)
        if differentiable:
            self._host = self._host.on_tensors
        self._line = struct.Struct(f"{len(program.host_reads)}d")
        self._bytes: Any = None

    @cached_property
    def table(self) -> Table:
        """The rows as the table that kernels read; filled at each step from the first use on."""
        table = np.zeros((len(self.rows), len(self.program.host_reads)), dtype=np.float64)
        self._bytes = table.reshape(-1).view(np.uint8) if table.size else None
        return table

    def advance(self, numbers: Sequence[Sequence[Any]]) -> None:
        """Count a step of every row, and compute its scalars; `numbers` are those of each param group."""
        self.numbers = numbers
        host = self._host
        self.reads = [row.advance(host, numbers[row.group]) for row in self.rows]
        if self._bytes is not None:
            for k, reads in enumerate(self.reads):
                self._line.pack_into(self._bytes, k * self._line.size, *reads)


def _rows(program: Program, members: Mapping[int, Member]) -> tuple[list[Row], dict[int, int]]:
    """Gather members with the same group and scalar states into rows; return the row of each position."""
    together: dict[Any, list[int]] = {}
    width = 1 + len(program.scalar_outputs)
    for position, m in members.items():
        shared = m.block[m.line, :width].tobytes()  # as bits: NaN is not equal to itself
        together.setdefault((m.group, id(m.block), shared), []).append(position)
    rows: list[Row] = []
    row_of: dict[int, int] = {}
    for number, positions in enumerate(together.values()):
        first = members[positions[0]]
        lines = consecutive([members[k].line for k in positions])
        rows.append(Row(first.group, first.block, lines, width))
        row_of |= dict.fromkeys(positions, number)
    return rows, row_of
