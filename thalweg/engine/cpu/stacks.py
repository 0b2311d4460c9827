"""What is computed between the passes of a batch: matrix values, on stacks of matrices of one size.

A pass writes what matrix functions are given into buffers, where the members of a stack lie one after the
other; matrix functions run on slices of a stack whose members have the same numbers; what the next pass
reads is put into a buffer too. Buffers are made once, and one that is no longer needed is used again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.cpu.between import (
    FUNCTIONS,
    MEMORY,
    GramAverage,
    ResultPlace,
    averages,
    latest_stages,
    operands_of,
    plan_stage,
)
from thalweg.engine.cpu.stacked_states import StackedStates, Watch, memory_of
from thalweg.engine.eager.printed import print_stage
from thalweg.engine.member import Member
from thalweg.engine.program.printing import Layout, ReducedFunction
from thalweg.engine.program.program import Level, Program, Value
from thalweg.engine.program.shapes import Shape, lengths_of, matrix_sizes

MOST = 2**23
"""Numbers of a slice: more would only make what a function needs on the way larger."""

Array = np.ndarray[Any, np.dtype[Any]]


class StageFunction:
    """The matrix values of one stage as a function: what it reads, and what is needed of them afterwards."""

    def __init__(self, program: Program, stage: int, known: Mapping[Value, GramAverage]) -> None:
        at = latest_stages(program, known)
        every = [v for v in program.matrices if v in at]
        here = [v for v in every if at[v] == stage and v.op != "matrix state"]
        read = {v: operands_of(v, known) for v in every}
        reads = {x for v in here for x in read[v] if x.op != "constant"}.difference(here)
        self.needed = {x for v in every if at[v] > stage for x in read[v]}
        self.needed |= set(program.matrix_outputs.values())
        spread = read_by_passes(program)
        self.spread = tuple(v for v in spread if v.stage == stage)
        self.reads = tuple(v for v in program.values if v in reads)
        self.kept = tuple(v for v in here if v in self.needed or v in spread)
        plan = plan_stage(program, here, self.kept, self.spread, known)
        self.places, self.placed = plan.places, plan.placed
        self.in_buffer = {place.spread for place in plan.places}
        self.call = (
            print_stage(plan.computed, self.reads, self.kept, plan.lines, FUNCTIONS, MEMORY)
            if here
            else None
        )
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

    def assign(value: Value, last: float, stage: int, early: bool) -> None:
        # what is computed before a pass must not lie in what it is computed from
        free = [k for k, end in enumerate(until) if end < stage or (end == stage and not early)]
        if not free:
            until.append(last)
        slot[value] = free[0] if free else len(until) - 1
        until[slot[value]] = last

    spread = read_by_passes(program)
    for stage in range(program.stages + 1):
        for value in spread:
            if value.stage == stage:
                assign(value, float("inf"), stage, True)
        for value in program.given_to_matrices(stage):
            readers = [v.stage for v in program.matrices if value in v.operands]
            assign(value, max(readers), stage, False)
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
        self.buffers = [torch.empty(size, dtype=dtype, device="cpu") for _ in range(buffers)]

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


class Slice:
    """Members of a stack that are computed together, and their values in the present step.

    `number` is that of the stack in its batch.
    """

    def __init__(self, stack: Stack, number: int, start: int, end: int) -> None:
        self.number, self.start, self.end = number, start, end
        self.places = stack.places[start:end]
        each, rows, columns = stack.sizes
        self.each = each
        self.sizes = (each * (end - start), rows, columns)
        self.buffers = [x[start * each : end * each] for x in stack.buffers]
        self.memories = {x.untyped_storage().data_ptr() for x in stack.buffers}
        self.known: dict[Value, Any] = {}
        self.memory: list[list[Tensor]] = []
        """For each stage, where results are computed."""

    def size(self, shape: Shape) -> tuple[int, int, int]:
        """Return the size of a stack of matrices of a shape."""
        count, rows, columns = self.sizes
        return count, *lengths_of(shape, rows, columns)


class MatrixStacks:
    """The matrix values of a batch, and the buffers that its kernels read and write.

    Args:
        program: what steps the members.
        members: the parameters.
        row_of: for each, which row of `rows` holds its scalars.
        rows: the scalars that the program reads, written before each step.
        dtypes: those of the slots of the batch.
        watch: what tells whether states of other shapes are still the same.
    """

    def __init__(
        self,
        program: Program,
        members: Sequence[Member],
        row_of: Sequence[int],
        rows: Array,
        dtypes: Sequence[str],
        watch: Watch,
    ) -> None:
        dtype = torch.float64 if "float64" in dtypes else torch.float32
        self.program, self._members, self._row_of, self._rows = program, members, row_of, rows
        known = averages(program)
        self._stages = [StageFunction(program, s, known) for s in range(program.stages + 1)]
        self._slot, count = _assigned(program)
        together: dict[Any, list[int]] = {}
        for k in sorted(range(len(members)), key=lambda k: row_of[k]):
            sizes = matrix_sizes(members[k].param.shape, program.seen)
            together.setdefault(sizes, []).append(k)
        self._stacks = [Stack(s, places, dtype, count) for s, places in together.items()]
        self._column = {v: k for k, v in enumerate(program.host_reads)}
        read = {v for s in self._stages for v in s.reads}
        self._columns = sorted(k for v, k in self._column.items() if v in read)
        self._like = torch.empty(0, dtype=dtype, device="cpu")
        self._states = StackedStates(program, members, self._stacks, dtype, watch)
        names = list(program.matrix_states)
        self._read = [(v, names.index(v.data)) for v in program.matrices if v.op == "matrix state"]
        self._pairs = sorted({pair for s in self._stacks for pair in _neighbours(s, row_of)})
        self._slices: list[Slice] = []
        self._cut_at: list[bool] | None = None

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
            self._begin()
        function = self._stages[stage]
        for each in self._slices:
            if function.call is not None:
                self._call(stage, each, numbers)
            for value in function.spread:
                if value not in function.in_buffer:
                    each.buffers[self._slot[value]].copy_(each.known[value])
                if value not in function.needed and value.op != "matrix state":
                    del each.known[value]

    def _begin(self) -> None:
        """Cut the stacks into slices of members that have the same numbers, and read the states."""
        alike = [self._alike(a, b) for a, b in self._pairs]
        if alike != self._cut_at:
            self._cut_at = alike
            self._slices = [
                Slice(stack, number, a, b)
                for number, stack in enumerate(self._stacks)
                for a, b in stack.slices(lambda a, b: self._alike(self._row_of[a], self._row_of[b]))
            ]
            self._lay_out()
        self._states.read()
        for each in self._slices:
            each.known = {
                v: self._states.of(each.number, k).slice(each.start, each.end)
                for v, k in self._read
            }

    def _lay_out(self) -> None:
        """Make the memory of results: that of the slices, and one for all that take turns."""
        sizes: dict[int, int] = {}
        for each in self._slices:
            for place in (x for stage in self._stages for x in stage.places):
                if place.shared is not None:
                    count = math.prod(each.size(place.shape))
                    sizes[place.shared] = max(count, sizes.get(place.shared, 0))
        shared = {k: self._like.new_empty(count) for k, count in sizes.items()}

        def made(each: Slice, place: ResultPlace) -> Tensor:
            size = each.size(place.shape)
            if place.spread is not None:
                return each.buffers[self._slot[place.spread]]
            if place.shared is None:
                return self._like.new_empty(size)
            return shared[place.shared][: math.prod(size)].view(size)

        for each in self._slices:
            each.memory = [[made(each, x) for x in stage.places] for stage in self._stages]

    @torch.no_grad()
    def finish(self) -> None:
        """Write the new states of other shapes, and let go of what the step computed."""
        outputs = tuple(self.program.matrix_outputs.values())
        memories = self._states.memories
        for each in self._slices:
            new = []
            for k, value in enumerate(outputs):
                x = each.known.get(value, value.data)
                kept = self._states.of(each.number, k).slice(each.start, each.end)
                # what was another state must not be overwritten before it is written
                if isinstance(x, Tensor) and x is not kept and memory_of(x) in memories:
                    x = x.clone()
                new.append(x)
            for k, x in enumerate(new):
                self._states.of(each.number, k).write(each.start, each.end, x)
            each.known = {}
        self._states.count_change()

    def _alike(self, a: int, b: int) -> bool:
        """Whether two rows have the same numbers, where matrix values read some."""
        chosen = self._columns
        return a == b or self._rows[a, chosen].tobytes() == self._rows[b, chosen].tobytes()

    def _call(self, stage: int, each: Slice, numbers: Mapping[Value, Any]) -> None:
        """Compute the matrix values of a stage for one slice."""
        function, known = self._stages[stage], each.known

        def read(v: Value) -> Any:
            if v in known:
                return known[v]
            if v.level == Level.TENSOR:
                return each.buffers[self._slot[v]]
            if v.level == Level.HOST:
                return float(self._rows[self._row_of[each.places[0]], self._column[v]])
            own = np.repeat(numbers[v][each.places], each.each)
            return torch.from_numpy(own).to(self._like.dtype).reshape(-1, 1, 1)

        assert function.call is not None
        results = function.call(
            *map(read, function.reads), self._like, each.sizes, each.memory[stage]
        )
        for value, x in zip(function.kept, results, strict=True):
            # a function may return what it was given, whose buffer is used again
            is_given = value in function.needed and value not in function.placed
            known[value] = x.clone() if is_given and memory_of(x) in each.memories else x


def _neighbours(stack: Stack, row_of: Sequence[int]) -> list[tuple[int, int]]:
    """Return the different rows of neighbours in a stack."""
    rows = [row_of[place] for place in stack.places]
    return [(a, b) for a, b in pairwise(rows) if a != b]
