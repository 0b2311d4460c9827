"""Scalars that live on the device: a step does not wait for it, nor count elsewhere, and graphs repeat it.

Step numbers and scalar states are a line for each parameter, of which `state[p]["step"]` is a view. Each step
counts them there, and computes its scalars in float64. A hyperparameter that is a tensor of the device is
read when the device comes to it; a plain number is that of the call.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.capturing import is_capturing
from thalweg.engine.cohort import Cohort
from thalweg.engine.member import Member
from thalweg.engine.triton.counting import (
    WORDS,
    print_fill,
    print_keep,
    print_numbers,
    uncountable,
)
from thalweg.engine.triton.device import (
    LANES,
    LAUNCH,
    Array,
    DeviceTable,
    constant,
    current,
    zeros,
)
from thalweg.engine.triton.source import jit
from thalweg.errors import EngineError


class DeviceNumbers:
    """The lines of the members of a batch, and the scalars that a step computes from them.

    Args:
        cohort: the parameters of one program; it has the numbers of the param groups.
        members: those of the batch.
        device: where the parameters are.

    Raises:
        EngineError: no kernel can compute the scalars of the program.
    """

    scaled = True

    def __init__(self, cohort: Cohort, members: Sequence[Member], device: torch.device) -> None:
        program = self._program = cohort.program
        if names := uncountable(program):
            raise EngineError(
                f"capturable=True was asked for, but no kernel can compute the scalars of {program.label} "
                f"({', '.join(dict.fromkeys(names))}). Leave out capturable=True."
            )
        self._cohort, self._device, self._count = cohort, device, len(members)
        self._first_cells = [
            m.state[m.kept[0]] for m in members
        ]  # a graph goes on using their memory
        self._lines = constant(np.array(list(map(Tensor.data_ptr, self._first_cells))), device)
        self._group_of = constant(np.array([m.group for m in members]), device)
        self._groups = sorted({m.group for m in members})
        self._first = 1 + len(program.scalar_outputs)
        width = len(program.scalars) - self._first
        self._given = np.zeros((self._groups[-1] + 1, max(1, width)))
        self._table = DeviceTable(self._given, device)
        self.rows = zeros(self._count * len(program.host_reads), device)
        self.kept = zeros(self._count * len(program.number_outputs), device)
        self.scaling = torch.tensor([1.0, 0.0], dtype=torch.float64, device=device)
        self._was_scaled = False
        fill(self._table.tensor, np.zeros(0), 1)  # compiled now, since a capture must not

    def check(self) -> None:
        """A step may be captured."""

    def begin(self) -> None:
        """Count the step, unless a gradient is not finite, and compute its scalars."""
        self._take_scale()
        jit(print_numbers(self._program), "numbers")[(-(-self._count // LANES),)](
            self._lines,
            self._group_of,
            self._taken(),
            self.rows,
            self.kept,
            self.scaling,
            self._count,
            BLOCK=LANES,
            **LAUNCH,
        )

    def _take_scale(self) -> None:
        scale, infinite = self._cohort.loss_scale
        self._was_scaled |= scale is not None or infinite is not None
        # a graph must not find what another step has left
        if not (self._was_scaled or is_capturing(self._device)):
            return
        inverse, skips = self.scaling.unbind()
        if scale is None:
            inverse.fill_(1.0)
        else:
            inverse.copy_(scale.double().reciprocal().reshape(()), non_blocking=True)
        if infinite is None:
            skips.zero_()
        else:
            skips.copy_(infinite.reshape(()), non_blocking=True)

    def _taken(self) -> Tensor:
        """Return the numbers of the param groups on the device."""
        on_device = []
        for group in self._groups:
            for k, number in enumerate(self._cohort.numbers[group]):
                if isinstance(number, Tensor) and number.device == self._device:
                    on_device.append((group * self._given.shape[1] + k, number))
                else:
                    self._given[group, k] = float(number)
        if is_capturing(self._device):
            table = torch.empty_like(self._table.tensor)
            fill(table, self._given.reshape(-1), 1)
        else:
            self._table.write(self._given)
            table = self._table.tensor
        for place, number in on_device:
            table[place].copy_(number.reshape(()))
        if on_device:
            self._table.forget()
        return table

    def keep(self, new: Tensor) -> None:
        """Keep the numbers that reductions have fed."""
        width = len(self._program.number_outputs)
        jit(print_keep(self._first, width), "keep")[(-(-self._count // LANES),)](
            self._lines, new, self.scaling, self._count, BLOCK=LANES, **LAUNCH
        )


def fill(table: Tensor, words: Array, stride: int) -> None:
    """Write numbers of 64 bits into a table, `stride` apart, by kernels that hold them as arguments."""
    values = words.view(np.int64).tolist()
    cells = table.view(torch.int64)
    size = len(WORDS)
    kernel = jit(print_fill(), "fill", ("count", "stride", *WORDS))
    for start in range(0, max(1, len(values)), size):
        some = values[start : start + size]
        padded = some + [0] * (size - len(some))
        with current(table.device):
            kernel[(1,)](cells[start * stride :], stride, len(some), *padded, **LAUNCH)
