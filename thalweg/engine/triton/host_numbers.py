"""Scalars that the host computes: sent to the device before a step, read back where reductions feed them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.capturing import counted_by_the_host, is_capturing
from thalweg.engine.member import Member
from thalweg.engine.program.program import Program
from thalweg.engine.rows import ReducedNumbers
from thalweg.engine.triton.device import Array, DeviceTable, zeros


class HostNumbers:
    """The rows of a cohort, and the scalar states of its members, as the host keeps them.

    Args:
        program: what they are for.
        members: the parameters of the batch.
        rows: the scalars, written by the owner before each step.
        device: where the parameters are.
    """

    scaled = False

    def __init__(
        self, program: Program, members: Sequence[Member], rows: Array, device: torch.device
    ) -> None:
        self._host_rows = rows
        self._row_table = DeviceTable(rows, device)
        start = 1 + len(program.scalar_outputs)
        self._kept = ReducedNumbers([(m.block, m.line) for m in members], start)
        self._width = len(program.number_outputs)
        self._kept_table = DeviceTable(np.zeros((len(members), self._width)), device)
        self.rows, self.kept = self._row_table.tensor, self._kept_table.tensor
        self.scaling = zeros(2, device)

    def check(self) -> None:
        """Refuse to be captured.

        Raises:
            EngineError: a CUDA graph is being captured.
        """
        if is_capturing(self.rows.device):
            raise counted_by_the_host()

    def begin(self) -> None:
        """Put the numbers of the step on the device."""
        self._row_table.write(self._host_rows)
        if self._width:
            numbers = [self._kept.read(k) for k in range(self._width)]
            self._kept_table.write(np.stack(numbers, axis=1))

    def keep(self, new: Tensor) -> None:
        """Keep the numbers that reductions have fed; this waits for the device."""
        read = new.cpu().numpy().reshape(-1, self._width)
        for k in range(self._width):
            self._kept.write(k, read[:, k])
