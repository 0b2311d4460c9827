"""The numbers of rows and of columns of a batch: where they lie, and the kernels that compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np
import torch

from thalweg.engine.cpu.factored.compiled import FactoredKernels, VectorKernel
from thalweg.engine.cpu.factored.program import MEANS, ONE_OF, Entry, vectors_of, written_for
from thalweg.engine.cpu.factored.tiles import Tiles
from thalweg.engine.cpu.stacked_states import StackedStates, Watch
from thalweg.engine.cpu.threads import Kernel, run_on
from thalweg.engine.member import Member
from thalweg.engine.program.printing import ReducedFunction
from thalweg.engine.program.program import Program
from thalweg.engine.program.shapes import matrix_sizes

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class MatrixGroup:
    """Members of one size, whose states lie together."""

    sizes: tuple[int, int, int]
    places: list[int]
    matrices: Array
    """Which matrices of the batch they are."""


@dataclass(frozen=True)
class ReadyKernel:
    """A kernel with the tables that it reads: it is called with `argument`."""

    kernel: Kernel
    tables: tuple[Array, ...]
    call: Array

    def run(self) -> None:
        """Call it."""
        self.call[-1] = 0  # no matrix is taken yet
        run_on(1, self.kernel, self.call.ctypes.data)


class Vectors:
    """The numbers of rows and of columns of a batch, which its passes write and read.

    Args:
        compiled: what steps the members.
        members: the parameters.
        tiles: what they are cut into.
        rows: the scalars that the program reads, written before each step.
        dtypes: those of the slots of the batch.
        watch: what tells whether states of other shapes are still the same.
    """

    def __init__(
        self,
        compiled: FactoredKernels,
        members: Sequence[Member],
        tiles: Tiles,
        rows: Array,
        dtypes: Sequence[str],
        watch: Watch,
    ) -> None:
        made = compiled.made
        self._made, self._tiles = made, tiles
        self._dtype = "float64" if "float64" in dtypes else "float32"
        self._buffers: dict[Entry, Array] = {}
        self._groups = _groups(made.program, members, tiles)
        self._names = list(made.program.matrix_states)
        torch_dtype = getattr(torch, self._dtype)
        self._states = StackedStates(made.program, members, self._groups, torch_dtype, watch)
        self._addresses = np.zeros((len(tiles.matrices), len(self._names)), dtype=np.int64)
        self._known: list[Any] = []
        self._stages: list[tuple[VectorKernel, ReadyKernel, Array] | None] = []
        for each in compiled.vectors:
            if each is None:
                self._stages.append(None)
                continue
            numbers = np.zeros((len(members), each.width))
            ready = self._ready(each.kernel, each.entries, rows, numbers)
            self._stages.append((each, ready, numbers))
        kept: list[Entry] = [("kept", v, side) for v, side in made.states]
        self._writing = None
        if compiled.writing is not None:
            self._writing = self._ready(compiled.writing, kept, rows, np.zeros(0))

    def table(self, stage: int) -> Array:
        """Return the table of vectors of a pass."""
        sums = self._made.sums(stage)
        entries: list[Entry] = [("sums", v, MEANS[v.data.function]) for v in sums]
        reads = vectors_of(self._made, stage)[len(sums) :]
        return self._where([*entries, *(("kept", v, written_for(v)) for v in reads)])

    def compute(
        self,
        stage: int,
        arguments: Callable[[ReducedFunction], Sequence[Any]],
        of_tensors: Callable[[Any], Any],
    ) -> None:
        """Compute what stands before the pass of a stage; see `MatrixStacks.compute`."""
        if stage == 0:
            self._read_states()
        found = self._stages[stage]
        if found is None:
            return
        made, ready, numbers = found
        if made.width:
            for column, values in enumerate(made.reduced(arguments(made.reduced))):
                numbers[:, column] = of_tensors(values)
        ready.run()

    def finish(self) -> None:
        """Write the new states."""
        if self._writing is None:
            return
        self._writing.run()
        for each in self._known:
            if not each.are_there:
                each.write(0, len(each.states), each.whole[:])
        self._states.count_change()

    def _read_states(self) -> None:
        """Find where the states lie, which may have changed."""
        self._states.read()
        count = len(self._names)
        known = [self._states.of(g, k) for g in range(len(self._groups)) for k in range(count)]
        if len(known) == len(self._known) and all(map(is_, known, self._known)):
            return
        self._known = known
        for at, each in enumerate(known):
            group = self._groups[at // count]
            assert each.whole is not None
            step = each.whole[:1].nbytes
            first = each.whole.data_ptr()
            self._addresses[group.matrices, at % count] = first + step * np.arange(len(each.whole))

    def _ready(
        self, made: Kernel, entries: Sequence[Entry], rows: Array, numbers: Array
    ) -> ReadyKernel:
        """Return a kernel with its tables; `numbers` is the one for what reductions give."""
        none = np.zeros(0)
        matrices = self._tiles.matrices
        tables = (self._addresses, matrices, rows, numbers, none, self._where(entries))
        call = np.array([*(x.ctypes.data for x in tables), len(matrices), 0], dtype=np.int64)
        return ReadyKernel(made, tables, call)

    def _where(self, entries: Sequence[Entry]) -> Array:
        """Return the addresses of entries, whose memory is made where they are met first."""
        for entry in entries:
            if entry not in self._buffers:
                kind, _, side = entry
                place = ONE_OF[side] + (" sum" if kind == "sums" else "")
                wide = kind == "totals" or (kind == "sums" and side == "rows")
                dtype = "float64" if wide else self._dtype
                self._buffers[entry] = np.zeros(self._tiles.lengths[place], dtype=dtype)
        addresses = [self._buffers[entry].ctypes.data for entry in entries]
        return np.array(addresses, dtype=np.int64)


def _groups(program: Program, members: Sequence[Member], tiles: Tiles) -> list[MatrixGroup]:
    """Return members of one size together."""
    found: dict[tuple[int, int, int], list[int]] = {}
    for k, member in enumerate(members):
        found.setdefault(matrix_sizes(member.param.shape, program.seen), []).append(k)
    of = tiles.matrices[:, 0]
    first, last = (np.searchsorted(of, np.arange(len(members)), side=s) for s in ("left", "right"))
    return [
        MatrixGroup(
            sizes,
            places,
            np.concatenate([np.arange(first[k], last[k]) for k in places]).astype(np.int64),
        )
        for sizes, places in found.items()
    ]
