"""A fused batch: all tensors of one program and one set of dtypes, stepped by one kernel call a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.cpu.calls.host_scalars import host_scalars
from thalweg.engine.cpu.calls.layouts import Addresses, Layouts
from thalweg.engine.cpu.calls.objects import DictEntries, Gradients, Same, Versions
from thalweg.engine.cpu.calls.one_call import OneCall
from thalweg.engine.cpu.compiled import CompiledProgram, FusedPass
from thalweg.engine.cpu.entries import Entries
from thalweg.engine.cpu.factored.between import Vectors
from thalweg.engine.cpu.factored.tiles import Tiles
from thalweg.engine.cpu.stacks import MatrixStacks
from thalweg.engine.cpu.threads import run_on
from thalweg.engine.dense import is_flagged, reordered
from thalweg.engine.member import Member
from thalweg.engine.passes import Pass
from thalweg.engine.program.printing import ReducedFunction
from thalweg.engine.program.program import Value
from thalweg.engine.rows import Lines, ReducedNumbers, Row
from thalweg.engine.storage import (
    PLAIN,
    elements,
    first_without_memory,
    holds_its_numbers,
    memory_problem,
)
from thalweg.errors import EngineError
from thalweg.numeric import plural

CHUNK = 65536
"""Elements of a chunk: long enough to stream, and a few slots of it fit the second-level cache."""

THREADED_BYTES = 2**20
"""Below this much memory to go through, waking another thread costs more than it saves."""

ITEM_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "int16": 2, "int8": 1}

_Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class ReadyPass:
    """A pass over one batch: the tables it reads and writes, and the kernel's argument."""

    made: FusedPass
    pointers: _Array
    reduced: _Array
    partials: _Array
    vectors: Sequence[_Array]
    """Where the numbers of rows and of columns lie that it writes and reads, if its program is factored."""
    call: _Array
    argument: int


class _SameStates:
    """States of other shapes, compared with what they were by compiled loops."""

    def __init__(
        self, dicts: Sequence[dict[str, Any]], names: Sequence[str], states: Sequence[Tensor]
    ) -> None:
        self._states = list(states)
        self._entries, self._versions = DictEntries(dicts, names, states), Versions(states)
        self._layouts = Layouts(states, [x.dtype for x in states], [x.nbytes for x in states])
        self._addresses = np.array([x.data_ptr() for x in states], dtype=np.int64).tobytes()
        self.count_change = self._versions.increment

    def hold(self) -> bool:
        """Whether they are the same objects, and lie where they lay."""
        layouts = self._layouts
        if not (self._entries.hold() and layouts.read(self._states)):
            return False
        return layouts.without_memory is None and layouts.found.tobytes() == self._addresses


class FusedBatch:
    """Tensors that step together. Addresses of gradients and parameters are read again at every step.

    Args:
        compiled: what to compute.
        dtypes: the dtype of each slot: gradient, parameter, states.
        members: the parameters, and where their states are kept.
        row_of: for each parameter, which of `rows` holds its scalars.
        rows: the scalars, written by the owner before each step.
    """

    def __init__(
        self,
        compiled: CompiledProgram,
        dtypes: tuple[str, ...],
        members: Sequence[Member],
        row_of: Sequence[int],
        rows: _Array,
    ) -> None:
        program = self.program = compiled.program
        self._sparse = any(m.grad_layout is not torch.strided for m in members)
        self.dtypes = dtypes
        self._members = members
        params = self.params = [m.param for m in members]
        names = range(len(members[0].names))
        self._dicts = [m.state for _ in names for m in members]
        self._names = [m.names[k] for k in names for m in members]
        self._cells = [m.state.get(name) for m in members for name in m.kept]
        self._gradients = Gradients(params)
        # the entries of a state one after the other: they lie together
        self._shown = [(m.state, name) for m in members for name in (*m.kept, *m.names)]
        self._entries = DictEntries(
            [state for state, _ in self._shown], [name for _, name in self._shown], self._found()
        )
        self._written: list[Tensor] = []
        self._watch(self._read_written())
        self._layouts = Layouts(self._written, [x.dtype for x in self._written])
        self._written_bytes = [x.nbytes for x in self._written]
        grad_bytes = [elements(p) * ITEM_BYTES[dtypes[0]] for p in params]
        self._grad_layouts = Layouts(params, [m.grad_dtype for m in members], grad_bytes)
        # a complex tensor may be a conjugated view, and a gradient of one number a negated one
        self._complex = [x for x in self._written if x.is_complex()]
        self._odd = [k for k, p in enumerate(params) if p.is_complex() or p.numel() == 1]
        self._addresses = np.full(len(self._written), -1, dtype=np.int64)
        self.moved = False
        """Whether memory has moved since the owner looked last."""
        self.rows = rows
        self.pointers = np.zeros((len(params), 2 + len(names)), dtype=np.int64)
        self.holds()  # reads the addresses of the parameters and states
        self.moved = False  # the plan has looked at the memory before it made the batch
        self.entries = Entries(members, row_of, program.by_unit, program.seen)
        self._between: MatrixStacks | Vectors | None = None
        if compiled.factored is not None:
            tiles = Tiles(members, row_of, program.seen, CHUNK)
            self.entries.cut(np.array(tiles.pieces))
            self.chunks = tiles.tiles
            self._between = Vectors(compiled.factored, members, tiles, rows, dtypes, _SameStates)
        else:
            self.chunks = self.entries.chunks(CHUNK)
            if program.matrices:
                self._between = MatrixStacks(program, members, row_of, rows, dtypes, _SameStates)
        start = 1 + len(program.scalar_outputs)
        self.numbers = ReducedNumbers([(m.block, m.line) for m in members], start)
        self._number_names = list(program.number_outputs)
        outputs = tuple(program.number_outputs.values())
        self._new_numbers = ReducedFunction(program, outputs)
        size = self.entries.total * sum(ITEM_BYTES[d] for d in dtypes)
        self._most_threads = len(self.chunks) if size >= THREADED_BYTES else 1
        self.passes = [self._ready(each) for each in compiled.passes]

    def _ready(self, each: FusedPass) -> ReadyPass:
        """Return a pass with the tables that its kernel reads and writes."""
        pointers, vectors = self.pointers, []
        if isinstance(self._between, Vectors):
            vectors = [self._between.table(each.stage)]
        elif self._between is not None:
            pointers = self._between.pointers(self.pointers, each.layout)
        reduced = np.zeros((len(self.entries), each.width), dtype=np.float64)
        partials = np.zeros((len(self.chunks), len(each.reductions)), dtype=np.float64)
        tables = (pointers, self.chunks, self.rows, reduced, partials, *vectors)
        call = np.array([*(t.ctypes.data for t in tables), len(self.chunks), 0], dtype=np.int64)
        ready = ReadyPass(each, pointers, reduced, partials, vectors, call, call.ctypes.data)
        if each.fixed:
            self._fill(ready, {}, 0)
        return ready

    def _read_written(self) -> list[Tensor]:
        """Return what a step writes: the parameters, then the tensors of each state."""
        return [*self.params, *map(dict.get, self._dicts, self._names)]  # type: ignore[list-item]

    def _watch(self, written: list[Tensor]) -> None:
        """Expect to find these parameters and states at the next step."""
        self._written[:] = written  # in place, as all that compiled code has the address of
        self._versions = Versions(written)
        self._entries.expect(self._found())

    def _found(self) -> list[Any]:
        return [state.get(name) for state, name in self._shown]

    def _cells_are_same(self) -> bool:
        shown = (m.state.get(name) for m in self._members for name in m.kept)
        return all(map(is_, shown, self._cells))

    def holds(self) -> bool:
        """Whether parameters and states are still stored as they were; their addresses may change.

        A state tensor may have been replaced by another one that is stored alike; a number may not.

        Raises:
            EngineError: a storage that has moved is too small for its tensor.
        """
        replaced = not self._entries.hold()
        if replaced and not self._cells_are_same():
            return False
        written = self._read_written() if replaced else self._written
        if not self._layouts.read(written) or (self._complex and any(map(is_flagged, written))):
            return False
        found = self._layouts.found
        if found.tobytes() != self._addresses.tobytes():
            if any(map(is_flagged, written)):
                return False
            small = first_without_memory(written, self._written_bytes)
            if small is not None:
                raise EngineError(memory_problem(written[small], self._name_of_written(small)))
            self._addresses[:] = found
            self.pointers[:, 1:] = found.reshape(-1, len(self.params)).T
            self.moved = True
        if replaced:
            self._watch(written)
        return True

    def _name_of_written(self, k: int) -> str:
        slot, k = divmod(k, len(self.params))
        return self._members[k].slot_called(slot)

    def prepare(self) -> tuple[Addresses, list[Any]] | None:
        """Return the addresses of the gradients, and the tensors that must live until the step is over.

        A gradient that is sparse or stored in another order than its parameter is copied into that order.
        None means that a gradient is missing, or of another kind, shape or dtype than the batch was made for.

        Raises:
            EngineError: the storage of a gradient is too small for it.
        """
        grads = self._gradients.read()
        if not self._in_order(grads):
            for k, grad in enumerate(grads):
                if not self._can_be_copied(grad, self.params[k]):
                    return None
                if not holds_its_numbers(grad):
                    raise EngineError(memory_problem(grad, self._members[k].gradient_called))
            grads = [reordered(g, p) for g, p in zip(grads, self.params, strict=True)]
            if not self._grad_layouts.read(grads):
                return None
        return self._grad_layouts.found, grads

    def _in_order(self, grads: list[Any]) -> bool:
        """Whether every gradient is stored as its parameter is; every kernel relies on it."""
        if not self._grad_layouts.read(grads):
            return False
        small = self._grad_layouts.without_memory
        if small is not None:
            raise EngineError(memory_problem(grads[small], self._members[small].gradient_called))
        return not (self._odd and any(is_flagged(grads[k]) for k in self._odd))

    def _can_be_copied(self, grad: Any, param: Tensor) -> bool:
        if type(grad) not in PLAIN or grad.device.type != "cpu" or grad.shape != param.shape:
            return False
        return self._sparse or grad.layout is torch.strided

    def describe(self) -> str:
        """Return how many tensors and numbers step together, and in how many passes."""
        size = sum(elements(p) for p in self.params)
        return (
            f"fused  {plural(len(self.params), 'tensor')}, {plural(size, 'number')}, {self.dtypes[1]}, "
            f"{plural(len(self.passes), 'pass')}"
        )

    def step(self, prepared: tuple[Addresses, list[Any]], count: int) -> None:
        """Step all tensors by a program of one pass."""
        self._point(prepared[0])
        self._end({}, count)

    def one_call(self, same: object, rows: Sequence[Row], lines: Lines) -> OneCall | None:
        """Return how to step in one call while nothing changes, or None where that is not possible.

        `same` compares the parameters and states of the optimizer, `lines` are the numbers of all members.
        """
        plain = len(self.passes) == 1 and not self._number_names and not self._complex
        plain = plain and self.passes[-1].made.fixed and self._between is None
        read = self._layouts.called.function and self._grad_layouts.called.function
        if not (plain and read and lines.are_shown and isinstance(same, Same)):
            return None
        scalars = host_scalars(self.program, rows, self.rows)
        if scalars is None:
            return None
        return OneCall(
            self,
            same=same,
            entries=self._entries,
            written=(self._written, self._layouts),
            known=self._addresses,
            gradients=(self._gradients, self._grad_layouts),
            odd=[self.params[k] for k in self._odd],
            pointers=self.pointers,
            blocks=lines.places(),
            scalars=scalars,
        )

    def finish(self) -> None:
        """Write the new parameters and states, all that the kernel reads being there."""
        self._launch(self.passes[-1])
        self._versions.increment()
        if self._between is not None:
            self._between.finish()

    def run(self, prepared: tuple[Addresses, list[Any]], count: int) -> Pass:
        """Step all tensors stage by stage; `count` is the number of all elements."""
        self._point(prepared[0])
        reductions: dict[Value, Any] = {}
        for ready in self.passes[:-1]:
            self._reduce(ready, reductions, count)
            self._launch(ready)
            whole = self._gather(ready, reductions)
            sent = yield tuple(whole.values())
            reductions.update(zip(whole, sent, strict=True))
        self._end(reductions, count)

    def _end(self, reductions: dict[Value, Any], count: int) -> None:
        """Write the new parameters and states, then the numbers that were computed from reductions."""
        self._reduce(self.passes[-1], reductions, count)
        self.finish()
        if self._number_names:
            new = self._new_numbers(self._arguments(self._new_numbers, reductions, count))
            for k, value in enumerate(new):
                self.numbers.write(k, self.entries.of_tensors(value))

    def _point(self, gradients: Addresses) -> None:
        """Put the addresses of the gradients into the table."""
        self.pointers[:, 0] = gradients

    def _reduce(self, ready: ReadyPass, reductions: dict[Value, Any], count: int) -> None:
        """Compute what stands before a pass, and fill the table of per-tensor scalars that it reads."""
        if self._between is not None:
            arguments = partial(self._arguments, reductions=reductions, count=count)
            self._between.compute(ready.made.stage, arguments, self.entries.of_tensors)
            if ready.pointers is not self.pointers:
                ready.pointers[:, : self.pointers.shape[1]] = self.pointers
        if not ready.made.fixed:
            self._fill(ready, reductions, count)

    def _fill(self, ready: ReadyPass, reductions: dict[Value, Any], count: int) -> None:
        function = ready.made.reduced
        for column, values in enumerate(function(self._arguments(function, reductions, count))):
            ready.reduced[:, column] = values

    def _arguments(
        self, function: ReducedFunction, reductions: dict[Value, Any], count: int
    ) -> list[Any]:
        columns = {v: k for k, v in enumerate(self.program.host_reads)}
        reads = [
            reductions[v] if v.is_reduction else self.rows[self.entries.row_of, columns[v]]
            for v in function.reads
        ]
        return [*reads, *(self._leaf(v, count) for v in function.leaves)]

    def _leaf(self, leaf: Value, count: int) -> Any:
        if leaf.op == "number":
            return self.entries.spread(self.numbers.read(self._number_names.index(leaf.data)))
        return count if leaf.data == "all" else self.entries.leaves[leaf.op, leaf.data]

    def _launch(self, ready: ReadyPass) -> None:
        ready.call[-1] = 0  # no chunk is taken yet
        most = self._most_threads
        threads = 1 if most == 1 else min(torch.get_num_threads(), most)
        run_on(threads, ready.made.kernel, ready.argument)

    def _gather(self, ready: ReadyPass, reductions: dict[Value, Any]) -> dict[Value, Any]:
        """Reduce the chunks of each tensor; return those to be reduced over all tensors."""
        whole: dict[Value, Any] = {}
        for column, value in enumerate(ready.made.reductions):
            combine = np.add if value.op == "sum" else np.maximum
            partials = ready.partials[:, column]
            if value.data == "all":
                whole[value] = combine.reduce(partials)
            else:
                reductions[value] = self.entries.reduce(combine, partials, value.data)
        return whole
