"""What is computed between the passes of a batch: matrix values, on stacks of matrices of one size.

A pass writes what matrix functions are given into buffers, where the members of a stack lie one after the
other; matrix functions run on slices of a stack whose members have the same numbers; what the next pass
reads is put into a buffer too. Buffers are made once, and one that is no longer needed is used again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.eager.printed import print_stage
from thalweg.engine.matrix.printed import fitted
from thalweg.engine.member import Member
from thalweg.engine.program.printing import Layout, ReducedFunction
from thalweg.engine.program.program import Level, Program, Value
from thalweg.engine.program.shapes import matrix_sizes, state_size
from thalweg.engine.storage import holds_its_numbers, memory_problem
from thalweg.errors import EngineError

MOST = 2**23
"""Numbers of a slice: more would only make what a function needs on the way larger."""

Array = np.ndarray[Any, np.dtype[Any]]


class StageFunction:
    """The matrix values of one stage as a function: what it reads, and what is needed of them afterwards."""

    def __init__(self, program: Program, stage: int) -> None:
        here = [v for v in program.matrices if v.stage == stage and v.op != "matrix state"]
        reads = {x for v in here for x in v.operands if x.op != "constant"}.difference(here)
        self.needed = {x for v in program.matrices if v.stage > stage for x in v.operands}
        self.needed |= set(program.matrix_outputs.values())
        spread = read_by_passes(program)
        self.spread = tuple(v for v in spread if v.stage == stage)
        self.reads = tuple(v for v in program.values if v in reads)
        self.kept = tuple(v for v in here if v in self.needed or v in spread)
        self.call = print_stage(here, self.reads, self.kept) if here else None
        self.numbers = tuple(v for v in self.reads if v.level == Level.REDUCED)
        self.reduced = ReducedFunction(program, self.numbers)


def read_by_passes(program: Program) -> tuple[Value, ...]:
    """Return the matrix values that passes read element by element."""
    return tuple(v.operands[0] for v in program.reached() if v.op == "elements")


def _assigned(program: Program) -> tuple[dict[Value, int], int]:
    """Return the number of the buffer of each value, and how many there are.

    What a pass writes is needed until the last stage that reads it, what a pass reads until the end.
    """
    until: list[float] = []
    slot: dict[Value, int] = {}

    def assign(value: Value, last: float, stage: int) -> None:
        free = [k for k, end in enumerate(until) if end <= stage]
        if not free:
            until.append(last)
        slot[value] = free[0] if free else len(until) - 1
        until[slot[value]] = last

    spread = read_by_passes(program)
    for stage in range(program.stages + 1):
        for value in spread:
            if value.stage == stage:
                assign(value, float("inf"), stage)
        for value in program.given_to_matrices(stage):
            readers = [v.stage for v in program.matrices if value in v.operands]
            assign(value, max(readers), stage)
    return slot, len(until)


class Stack:
    """Members of one size, in the order of their rows of scalars, with the buffers of passes.

    `places` says which members of the batch they are; `sizes` are the matrices of each, rows and columns.
    """

    def __init__(
        self, sizes: tuple[int, int, int], places: Sequence[int], dtype: torch.dtype, buffers: int
    ) -> None:
        self.sizes, self.places = sizes, list(places)
        each, rows, columns = sizes
        size = (len(places) * each, rows, columns)
        self.buffers = [torch.empty(size, dtype=dtype) for _ in range(buffers)]

    def slices(self, alike: Callable[[int, int], bool]) -> list[tuple[int, int]]:
        """Return runs of members that have the same numbers, none of them too large."""
        most = max(1, MOST // max(1, math.prod(self.sizes)))
        found, start = [], 0
        for k in range(1, len(self.places) + 1):
            ends = k == len(self.places) or k - start >= most
            if ends or not alike(self.places[start], self.places[k]):
                found.append((start, k))
                start = k
        return found


@dataclass
class Slice:
    """Members of a stack that are computed together, and their values in the present step."""

    stack: Stack
    start: int
    end: int
    known: dict[Value, Any]

    @property
    def places(self) -> list[int]:
        """Which members of the batch they are."""
        return self.stack.places[self.start : self.end]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many matrices they are, and their rows and columns."""
        each, rows, columns = self.stack.sizes
        return each * (self.end - self.start), rows, columns

    def buffer(self, k: int) -> Tensor:
        """Return its part of a buffer."""
        each = self.stack.sizes[0]
        return self.stack.buffers[k][self.start * each : self.end * each]


class MatrixStacks:
    """The matrix values of a batch, and the buffers that its kernels read and write.

    Args:
        program: what steps the members.
        members: the parameters.
        row_of: for each, which row of `rows` holds its scalars.
        rows: the scalars that the program reads, written before each step.
        dtypes: those of the slots of the batch.
    """

    def __init__(
        self,
        program: Program,
        members: Sequence[Member],
        row_of: Sequence[int],
        rows: Array,
        dtypes: Sequence[str],
    ) -> None:
        dtype = torch.float64 if "float64" in dtypes else torch.float32
        self.program, self._members, self._row_of, self._rows = program, members, row_of, rows
        self._stages = [StageFunction(program, s) for s in range(program.stages + 1)]
        self._slot, count = _assigned(program)
        together: dict[Any, list[int]] = {}
        for k in sorted(range(len(members)), key=lambda k: row_of[k]):
            sizes = matrix_sizes(members[k].param.shape, program.seen)
            together.setdefault(sizes, []).append(k)
        self._stacks = [Stack(s, places, dtype, count) for s, places in together.items()]
        self._column = {v: k for k, v in enumerate(program.host_reads)}
        read = {v for s in self._stages for v in s.reads}
        self._columns = sorted(k for v, k in self._column.items() if v in read)
        self._like = torch.empty(0, dtype=dtype)
        self._slices: list[Slice] = []

    def pointers(self, slots: Array, layout: Layout) -> Array:
        """Return the table of a pass: the slots of the program's tensors, then those of its buffers."""
        read = [self._addresses(v.operands[0]) for v in layout.reads]
        written = [self._addresses(v) for v in layout.writes]
        return np.ascontiguousarray(np.column_stack([slots, *read, *written]))

    def _addresses(self, value: Value) -> Array:
        """Return for each member where the buffer begins in which a pass reads or writes a value."""
        found = np.zeros(len(self._members), dtype=np.int64)
        for stack in self._stacks:
            buffer = stack.buffers[self._slot[value]]
            step = buffer.nbytes // len(stack.places)
            found[stack.places] = buffer.data_ptr() + step * np.arange(len(stack.places))
        return found

    @torch.no_grad()
    def compute(
        self,
        stage: int,
        arguments: Callable[[ReducedFunction], Sequence[Any]],
        of_tensors: Callable[[Any], Any],
    ) -> None:
        """Compute the matrix values of a stage.

        `arguments` gives those of a function of reductions, which returns a number for each entry of the
        batch; `of_tensors` takes for each member one of these.
        """
        wanted, reduced = self._stages[stage].numbers, self._stages[stage].reduced
        values = reduced(arguments(reduced)) if wanted else ()
        numbers = {
            v: np.broadcast_to(np.asarray(of_tensors(x), dtype=np.float64), len(self._members))
            for v, x in zip(wanted, values, strict=True)
        }
        if stage == 0:
            self._slices = [
                Slice(stack, a, b, {})
                for stack in self._stacks
                for a, b in stack.slices(self._alike)
            ]
            for each in self._slices:
                each.known = self._states(each)
        function = self._stages[stage]
        for each in self._slices:
            if function.call is not None:
                self._call(function, each, numbers)
            for value in function.spread:
                each.buffer(self._slot[value]).copy_(each.known[value])
                if value not in function.needed and value.op != "matrix state":
                    del each.known[value]

    @torch.no_grad()
    def finish(self) -> None:
        """Write the new states of other shapes, and let go of what the step computed."""
        for each in self._slices:
            members = [self._members[p] for p in each.places]
            for k, value in enumerate(self.program.matrix_outputs.values()):
                new = each.known.get(value, value.data)
                parts = (
                    torch.split(new, each.stack.sizes[0])
                    if isinstance(new, Tensor)
                    else repeat(new)
                )
                for member, part in zip(members, parts, strict=False):
                    state = member.matrix_states[k]
                    state.copy_(fitted(part, state))
        self._slices = []

    def _alike(self, a: int, b: int) -> bool:
        """Whether two members have the same numbers, where matrix values read some."""
        a, b = self._row_of[a], self._row_of[b]
        chosen = self._columns
        return a == b or self._rows[a, chosen].tobytes() == self._rows[b, chosen].tobytes()

    def _states(self, each: Slice) -> dict[Value, Any]:
        """Return the states of other shapes of a slice, as stacks."""
        names = list(self.program.matrix_states)
        found: dict[Value, Any] = {}
        for v in self.program.matrices:
            if v.op == "matrix state":
                k = names.index(v.data)
                together = torch.stack([self._state(p, k) for p in each.places])
                found[v] = together.to(self._like.dtype).reshape(
                    each.sizes[0], *together.shape[-2:]
                )
        return found

    def _state(self, place: int, k: int) -> Tensor:
        """Return a state of a member, which may be another object at every step."""
        member, seen = self._members[place], self.program.seen
        state = member.matrix_states[k]
        shape = list(self.program.matrix_states.values())[k]
        size = state_size(shape, member.param.shape, seen)
        name = member.state_called(member.matrix_names[k])
        if tuple(state.shape) != size:
            raise EngineError(f"{name} has shape {tuple(state.shape)}, not {size}")
        if not holds_its_numbers(state):
            raise EngineError(memory_problem(state, name))
        return state

    def _call(self, function: StageFunction, each: Slice, numbers: Mapping[Value, Any]) -> None:
        """Compute the matrix values of a stage for one slice."""
        places, repeats = each.places, each.stack.sizes[0]

        def read(v: Value) -> Any:
            if v in each.known:
                return each.known[v]
            if v.level == Level.TENSOR:
                return each.buffer(self._slot[v])
            if v.level == Level.HOST:
                return float(self._rows[self._row_of[places[0]], self._column[v]])
            own = np.repeat(numbers[v][places], repeats)
            return torch.from_numpy(own).to(self._like.dtype).reshape(-1, 1, 1)

        assert function.call is not None
        results = function.call(*map(read, function.reads), self._like, each.sizes)
        buffers = {x.untyped_storage().data_ptr() for x in each.stack.buffers}
        for value, x in zip(function.kept, results, strict=True):
            # a function may return what it was given, whose buffer is used again
            each.known[value] = x.clone() if x.untyped_storage().data_ptr() in buffers else x
