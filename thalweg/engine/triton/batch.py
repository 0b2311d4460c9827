"""A batch of Triton's: all tensors of one program, one device and one set of dtypes, one launch a pass.

A step launches, for each pass: the arithmetic on reductions where there is any, the pass itself, and one fold
for each reduction. All buffers are made with the batch. The host never waits, with one exception: numbers of
the state that are computed from reductions (Prodigy's distance) are kept on the host, so they are read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.capturing import is_capturing, moved
from thalweg.engine.cpu.entries import Entries
from thalweg.engine.member import Member
from thalweg.engine.passes import Pass
from thalweg.engine.program.printing import layout_of
from thalweg.engine.program.program import Program, Value
from thalweg.engine.storage import elements
from thalweg.engine.triton.device import (
    LANES,
    LAUNCH,
    DeviceTable,
    constant,
    current,
    zeros,
)
from thalweg.engine.triton.device_numbers import DeviceNumbers, fill
from thalweg.engine.triton.host_numbers import HostNumbers
from thalweg.engine.triton.kernel import print_pass
from thalweg.engine.triton.scalars import (
    LEAF_COLUMNS,
    ScalarsKernel,
    all_reductions,
    print_fold,
    print_scalars,
)
from thalweg.engine.triton.slots import BatchSlots
from thalweg.engine.triton.source import jit
from thalweg.numeric import plural

LONGEST = 1024
"""Elements of a chunk: eight for each of the 128 threads of an instance."""
SHORTEST = 128


@dataclass(frozen=True)
class MadePass:
    """A pass as it was printed: its kernel, and the scalars that it reads for each entry."""

    kernel: Any
    scalars: ScalarsKernel | None
    width: int
    reductions: tuple[Value, ...]


@cache
def passes(program: Program, dtypes: tuple[str, ...], scaled: bool = False) -> tuple[MadePass, ...]:
    """Return the passes of a program for slots of these dtypes."""
    return tuple(_made(program, stage, dtypes, scaled) for stage in range(program.stages + 1))


def _made(program: Program, stage: int, dtypes: tuple[str, ...], scaled: bool) -> MadePass:
    layout = replace(layout_of(program, stage, dtypes), scaled=scaled)
    reduced = layout.reduced
    text = print_pass(program, stage, layout)
    scalars = print_scalars(program, reduced, of_tensors=False) if reduced else None
    reductions = () if stage == program.stages else program.reductions(stage)
    return MadePass(jit(text, "step"), scalars, len(reduced), reductions)


class TritonBatch:
    """Tensors on one device that step together.

    Args:
        program: what to compute.
        dtypes: the dtype of each slot: gradient, parameter, states.
        members: the parameters, and where their states are kept.
        row_of: for each parameter, in which row its scalars are.
        numbers: the rows, and the numbers that the program keeps.
    """

    def __init__(
        self,
        program: Program,
        dtypes: tuple[str, ...],
        members: Sequence[Member],
        row_of: Sequence[int],
        numbers: HostNumbers | DeviceNumbers,
    ) -> None:
        self.program, self.dtypes = program, dtypes
        self._slots = BatchSlots(members)
        self.device = members[0].param.device
        entries = self._entries = Entries(members, row_of, program.by_unit)
        longest = max(1, int(entries.lengths.max()))
        self._block = min(LONGEST, max(SHORTEST, 1 << (longest - 1).bit_length()))
        chunks = entries.chunks(self._block)
        self._count = len(chunks)
        self._numbers = numbers
        self._pointers = np.zeros((len(members), len(dtypes)), dtype=np.int64)
        self._pointer_table = DeviceTable(self._pointers, self.device)
        self._pointed = self._pointer_table.tensor
        self._chunks = constant(chunks, self.device)
        self._places = constant(np.stack([entries.row_of, entries.tensor], axis=1), self.device)
        leaves = [entries.leaves[leaf].astype(np.float64) for leaf in LEAF_COLUMNS]
        self._leaves = constant(np.stack(leaves, axis=1), self.device)
        self._reductions = {v: k for k, v in enumerate(all_reductions(program))}
        self._runs = {
            scope: constant(entries.runs(scope), self.device)
            for scope in {v.data for v in self._reductions} - {"all"}
        }
        self._folded = zeros(len(self._reductions) * len(entries), self.device)
        self._wholes = zeros(len(self._reductions) + 1, self.device)
        self._all = -1
        width = len(program.number_outputs)
        self._new_numbers = zeros(len(members) * width, self.device)
        outputs = tuple(program.number_outputs.values())
        self._number_scalars = print_scalars(program, outputs, of_tensors=True) if width else None
        self.passes = passes(program, dtypes, numbers.scaled)
        self._reduced = [zeros(len(entries) * each.width, self.device) for each in self.passes]
        most = max(len(each.reductions) for each in self.passes)
        self._partials = zeros(most * self._count, self.device)
        self._filled: set[int] = set()
        self._sent: list[int] | None = None
        if numbers.scaled:  # compiled now, since a capture must not
            fill(self._pointed, np.zeros(0), self._pointers.shape[1])
        self.holds()  # reads the addresses of the parameters and states
        self._slots.moved = False  # the plan has looked at the memory before it made the batch

    # -- what the plan asks ---------------------------------------------------------------------------

    @property
    def moved(self) -> bool:
        """Whether memory has moved since the plan looked last."""
        return self._slots.moved

    @moved.setter
    def moved(self, value: bool) -> None:
        self._slots.moved = value

    def holds(self) -> bool:
        """Whether parameters and states are still stored as they were; their addresses may change.

        Raises:
            EngineError: a storage that has moved is too small for its tensor.
        """
        before = self._slots.addresses
        if not self._slots.hold():
            return False
        if self._slots.addresses is not before:
            self._pointers[:, 1:] = np.reshape(self._slots.addresses, (-1, len(self._pointers))).T
        return True

    def prepare(self) -> list[Tensor] | None:
        """Return the gradients as they are stored in the order of their parameters, or None.

        Raises:
            EngineError: the storage of a gradient is too small for it; a CUDA graph is being captured.
        """
        self._numbers.check()
        if is_capturing(self.device) and self._sent is not self._slots.addresses:
            raise moved()
        return self._slots.gradients()

    def describe(self) -> str:
        """Return how many tensors and numbers step together, and in how many passes."""
        size = sum(map(elements, self._slots.params))
        count = len(self.passes)
        many = f"{plural(len(self._slots.params), 'tensor')}, {plural(size, 'number')}"
        return f"triton  {many}, {self.dtypes[1]}, {self.device}, {plural(count, 'pass')}"

    # -- a step ---------------------------------------------------------------------------------------

    def step(self, prepared: list[Tensor], count: int) -> None:
        """Step all tensors by a program of one pass."""
        with current(self.device):
            self._begin(prepared, count)
            self._finish()

    def run(self, prepared: list[Tensor], count: int) -> Pass:
        """Step all tensors stage by stage; `count` is the number of all elements."""
        with current(self.device):
            self._begin(prepared, count)
        for stage, made in enumerate(self.passes[:-1]):
            with current(self.device):
                self._launch(stage)
                shares = [
                    share for k, v in enumerate(made.reductions) for share in self._fold(k, v)
                ]
            wholes = yield tuple(shares)
            over_all = [v for v in made.reductions if v.data == "all"]
            for value, whole in zip(over_all, wholes, strict=True):
                self._receive(self._reductions[value], whole)
        with current(self.device):
            self._finish()

    def _begin(self, grads: list[Tensor], count: int) -> None:
        """Put the addresses and the scalars of the step on the device."""
        self._pointers[:, 0] = list(map(Tensor.data_ptr, grads))
        if is_capturing(self.device):
            self._pointed = self._captured_pointers()
        else:
            self._pointer_table.write(self._pointers)
            self._sent = self._slots.addresses
            self._pointed = self._pointer_table.tensor
        self._numbers.begin()
        if count != self._all:
            self._all = count
            self._wholes[-1].fill_(count)

    def _captured_pointers(self) -> Tensor:
        """Return a table that a CUDA graph makes again: the one of other steps will have other gradients."""
        table = self._pointer_table.tensor.clone()
        fill(table, np.ascontiguousarray(self._pointers[:, 0]), self._pointers.shape[1])
        return table

    def _receive(self, k: int, whole: Any) -> None:
        """Keep a reduction over all tensors, which comes from this device, another one or the host."""
        cell = self._wholes[k]
        if isinstance(whole, Tensor):
            cell.copy_(whole, non_blocking=True)
        else:
            cell.fill_(float(whole))

    def _scalars(self, scalars: ScalarsKernel, out: Tensor) -> None:
        count = len(self._entries)
        jit(scalars.text, "scalars")[(-(-count // LANES),)](
            self._places,
            self._numbers.rows,
            self._leaves,
            self._folded,
            self._wholes,
            self._numbers.kept,
            out,
            count,
            BLOCK=LANES,
            **LAUNCH,
        )

    def _launch(self, stage: int) -> None:
        """Go through all tensors once."""
        made = self.passes[stage]
        if made.scalars is not None and stage not in self._filled:
            self._scalars(made.scalars, self._reduced[stage])
            if made.scalars.is_fixed:
                self._filled.add(stage)
        made.kernel[(self._count,)](
            self._pointed,
            self._chunks,
            self._numbers.rows,
            self._reduced[stage],
            self._partials,
            self._numbers.scaling,
            self._count,
            BLOCK=self._block,
            **LAUNCH,
        )

    def _fold(self, k: int, value: Value) -> list[Tensor]:
        """Reduce the partial results of the k-th reduction of a pass; return the share of one over all."""
        partials = self._partials[k * self._count : (k + 1) * self._count]
        if value.data == "all":
            return [partials.sum() if value.op == "sum" else partials.amax()]
        runs = self._runs[value.data]
        count = len(self._entries)
        at = self._reductions[value] * count
        jit(print_fold(value.op), "fold")[(runs.numel() // 2,)](
            partials, runs, self._folded[at : at + count], BLOCK=LANES, **LAUNCH
        )
        return []

    def _finish(self) -> None:
        """Write the new parameters and states, then the numbers that were computed from reductions."""
        self._launch(len(self.passes) - 1)
        torch.autograd.graph.increment_version(self._slots.written)
        if self._number_scalars is None:
            return
        self._scalars(self._number_scalars, self._new_numbers)
        self._numbers.keep(self._new_numbers)
