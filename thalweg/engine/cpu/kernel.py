"""Print one pass of a program as an LLVM kernel over a chunk table.

    void kernel(i64 *call)

`call` holds the addresses of five tables (pointers, chunks, rows, reduced, partials), the number of
chunks, and a counter of those taken. A chunk is (tensor, offset, length, row, entry). The kernel takes the
next chunk until none is left, so any number of threads may run it at once. For its chunk it reads the
addresses of the tensor's slots (gradient, parameter, states), the step's scalars from the row and the
entry's reductions, then runs the program element by element: the last pass writes the new parameter and
states, an earlier one writes its partial reductions. No fast-math: results do not depend on the position in
a chunk, and NaN and infinity keep their meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from llvmlite import ir

from thalweg.engine.cpu.coding import emit_codes
from thalweg.engine.cpu.functions.called import function_of, library_symbols
from thalweg.engine.cpu.functions.noise import NOISE_FUNCTIONS
from thalweg.engine.cpu.functions.operations import Operations
from thalweg.engine.cpu.slots import F32, F64, I64, POINTER, Slots
from thalweg.engine.program.formats import BLOCK as CODED
from thalweg.engine.program.ops import OPS
from thalweg.engine.program.printing import Layout
from thalweg.engine.program.program import Level, Program, Value
from thalweg.engine.program.stored import STORED

CHUNK_FIELDS = 5
CALL = ("pointers", "chunks", "rows", "reduced", "partials", "chunk count", "chunks taken")
"""What the argument of a kernel holds, in order."""
BLOCK = 1024
"""Elements that are summed in the precision of the data before the sum goes on in float64: in float64 alone
sums take a third longer, and in float32 alone they are too rough."""
CHUNK_LIMIT = 2**62
REDUCTION_START = {"sum": 0.0, "max": -math.inf}

Emit = Callable[..., ir.Value]


def unsupported(program: Program) -> tuple[str, ...]:
    """Return the operations of a program that no kernel can run."""
    leaves = {"constant", "scalar", "tensor", "elements", "sum", "max", "foreign"}
    known = {*OPS, "spread", "noise", *STORED, *leaves}
    wide = (v.op for v in program.values if v.level == Level.TENSOR)
    return (*program.foreign, *(op for op in wide if op not in known))


def needed_symbols(program: Program) -> list[str]:
    """Return the C functions that the kernels of a program call."""
    used = {v.op for v in program.values if v.level == Level.TENSOR}
    if "noise" in used:
        used |= set(NOISE_FUNCTIONS)
    return [*library_symbols(used, "float64"), *library_symbols(used, "float32")]


def print_kernel(program: Program, stage: int, layout: Layout, name: str) -> str:
    """Return the LLVM text of the pass of a stage."""
    return str(KernelPrinter(program, stage, layout, name).module)


@dataclass
class KernelPrinter(Operations):
    """Prints a pass; those of other chunk tables say what differs."""

    program: Program
    stage: int
    layout: Layout
    name: str
    module: ir.Module = field(default_factory=lambda: ir.Module("thalweg"))
    tables: ClassVar[Sequence[str]] = CALL

    def __post_init__(self) -> None:
        self.dtype = "float64" if "float64" in self.layout.dtypes else "float32"
        self.real = F64 if self.dtype == "float64" else F32
        self.last = self.stage == self.program.stages
        self.roots = self.program.outputs_of(self.stage)
        self.reductions = () if self.last else self.program.reductions(self.stage)
        self.sums = self._summed()
        self.function = ir.Function(
            self.module, ir.FunctionType(ir.VoidType(), [POINTER]), self.name
        )
        self.slots = self._slots()
        coded = enumerate(self.roots, start=1) if self.last else ()
        self.coded = [(slot, root) for slot, root in coded if root.op == "coded"]
        self._emit_chunks()

    def _summed(self) -> list[tuple[str, Value]]:
        """Return what is summed over elements, or of what the largest is found."""
        return [(v.op, v.operands[0]) for v in self.reductions]

    # -- memory ---------------------------------------------------------------------------------------

    def _slots(self) -> Slots:
        layout = self.layout
        buffers = len(layout.reads) + len(layout.writes)
        return Slots(self.module, layout.dtypes, self.real, buffers=buffers)

    def _at(self, base: Any, index: Any, element: ir.Type) -> Any:
        return self.b.gep(base, [index], source_etype=element)

    def _read(self, base: Any, index: Any, element: ir.Type) -> Any:
        return self.b.load(self._at(base, index, element), typ=element)

    # -- loops ----------------------------------------------------------------------------------------

    def _emit_chunks(self) -> None:
        function = self.function
        call = function.args[0]
        entry, take, chunk, after, done = (
            function.append_basic_block(label)
            for label in ("entry", "take", "chunk", "after", "done")
        )
        b = self.b = ir.IRBuilder(entry)
        if self.coded:
            self.slots.reserve(b)
        self.table = {
            name: b.inttoptr(self._read(call, I64(k), I64), POINTER)
            for k, name in enumerate(self.tables[: self.tables.index("chunk count")])
        }
        n = self._read(call, I64(self.tables.index("chunk count")), I64)
        counter = self._at(call, I64(self.tables.index("chunks taken")), I64)
        b.branch(take)
        b.position_at_end(take)
        turn = b.atomic_rmw("add", counter, I64(1), "monotonic")
        b.cbranch(b.icmp_signed("<", turn, n), chunk, done)

        b.position_at_end(chunk)
        self.known: dict[Value, ir.Value] = {}
        self.whole: dict[Value, ir.Value] = {}
        ends, end = self._emit_chunk(turn, chunk, after)
        b.position_at_end(after)
        self._emit_partials(turn, ends, chunk, end)
        b.branch(take)
        ir.IRBuilder(done).ret_void()

    def _fields(self, turn: Any, count: int) -> list[ir.Value]:
        """Return what is written of a chunk."""
        at = self.b.mul(turn, I64(count))
        return [self._read(self.table["chunks"], self.b.add(at, I64(k)), I64) for k in range(count)]

    def _emit_chunk(self, turn: Any, chunk: Any, after: Any) -> tuple[list[ir.Value], Any]:
        """Go through a chunk; return its reductions, and where they are known."""
        b = self.b
        tensor, offset, length, row, entry = self._fields(turn, CHUNK_FIELDS)
        self.slots.open(b, self.table["pointers"], tensor, offset)
        self.offset = offset
        self._read_scalars(self.layout.rows, self.table["rows"], row)
        self._read_scalars(self.layout.reduced, self.table["reduced"], entry)
        block = self.function.append_basic_block("block")
        b.cbranch(b.icmp_signed(">", length, I64(0)), block, after)
        starts = [F64(REDUCTION_START[op]) for op, _ in self.sums]
        return self._emit_blocks(length, (chunk, block, after), starts)

    def _emit_blocks(
        self, length: Any, way: tuple[Any, Any, Any], starts: Sequence[ir.Value]
    ) -> tuple[list[ir.Value], Any]:
        """Go through elements that lie one after the other, block by block.

        `way` is where it comes from, where it begins and where it goes on; `starts` are the sums so far. The
        new ones are returned, and where they are known.
        """
        b = self.b
        before, block, after = way
        loop, end = map(self.function.append_basic_block, ("loop", "end"))

        b.position_at_end(block)
        start = b.phi(I64)
        start.add_incoming(I64(0), before)
        sums = self._open_sums(F64, starts, before)
        self.slots.open_block(b, start)
        longest = BLOCK if self.sums else CHUNK_LIMIT
        beyond = b.add(start, I64(CODED if self.slots.scale_of else longest))
        stop = b.select(b.icmp_signed("<", beyond, length), beyond, length)
        b.branch(loop)

        b.position_at_end(loop)
        index = self.index = b.phi(I64)
        self.start = start
        index.add_incoming(start, block)
        starts = [self.real(REDUCTION_START[op]) for op, _ in self.sums]
        partial = self._open_sums(self.real, starts, block)
        partial_ends = self._emit_body(index, partial)
        following = b.add(index, I64(1))
        index.add_incoming(following, loop)
        self._close(partial, partial_ends, loop)
        b.cbranch(b.icmp_signed("<", following, stop), loop, end)

        b.position_at_end(end)
        ends = [
            self._accumulate(op, whole, x if x.type == F64 else b.fpext(x, F64))
            for (op, _), whole, x in zip(self.sums, sums, partial_ends, strict=True)
        ]
        if self.coded:
            emit_codes(b, self.slots, (start, stop), self.coded, self._bits)
        end = b.block
        start.add_incoming(stop, end)
        self._close(sums, ends, end)
        b.cbranch(b.icmp_signed("<", stop, length), block, after)
        return ends, end

    def _read_scalars(self, values: Sequence[Value], table: Any, line: Any) -> None:
        b = self.b
        for column, value in enumerate(values):
            at = b.add(b.mul(line, I64(len(values))), I64(column))
            number = self.whole[value] = self._read(table, at, F64)
            if value.boolean:
                self.known[value] = b.fcmp_unordered("!=", number, F64(0.0))
            else:
                self.known[value] = number if self.real == F64 else b.fptrunc(number, F32)

    def _open_sums(self, element: ir.Type, starts: Sequence[ir.Value], before: Any) -> list[Any]:
        """Begin the reductions of the pass, as variables of a loop."""
        opened = []
        for start in starts:
            opened.append(self.b.phi(element))
            opened[-1].add_incoming(start, before)
        return opened

    @staticmethod
    def _close(starts: Sequence[Any], ends: Sequence[ir.Value], loop: Any) -> None:
        """Say with which values the variables of a loop go on."""
        for start, end in zip(starts, ends, strict=True):
            start.add_incoming(end, loop)

    def _emit_body(self, index: Any, partial: Sequence[Any]) -> list[ir.Value]:
        """Compute one element; store it, or add it to the reductions, which are returned."""
        part = self.program.part(self.roots, Level.TENSOR)
        slot_of = {name: slot for slot, name in enumerate(self.program.tensors)}
        layout = self.layout
        first = len(layout.dtypes) - len(layout.reads) - len(layout.writes)
        slots = {v: slot for slot, v in enumerate(layout.reads, start=first)}
        slots |= {v: slot_of[v.data] for v in part.computes if v.op == "tensor"}
        for value in part.computes:
            if value in slots:
                self.known[value] = self.slots.load(self.b, slots[value], index)
        for value in part.computes:
            if value not in self.known and value.op != "coded":
                self.known[value] = self._emit(value)
        for slot, value in enumerate(layout.writes, start=first + len(layout.reads)):
            self.slots.store(self.b, self._as_real(self._value(value)), slot, index)
        if self.last:
            for slot, root in enumerate(self.roots, start=1):
                self._store(root, slot, index)
        return [
            self._accumulate(op, start, self._as_real(self._value(root)))
            for (op, root), start in zip(self.sums, partial, strict=True)
        ]

    def _store(self, root: Value, slot: int, index: Any) -> None:
        if root.op == "coded":
            new = self._as_real(self._value(root.operands[0]))
            self.slots.put(self.b, new, slot, self.b.sub(index, self.start))
        else:
            is_rounded = root.op in ("narrowed", "upper")
            self.slots.store(self.b, self._as_real(self._value(root)), slot, index, is_rounded)

    def _accumulate(self, op: str, start: ir.Value, x: ir.Value) -> ir.Value:
        if op == "sum":
            # the order of a sum is free, or it could not be vectorized; it is the same on every run
            return self.b.fadd(start, x, flags=("reassoc",))
        maximum = function_of(self.module, "maximum", "float64" if x.type == F64 else "float32", 2)
        return self.b.call(maximum, [start, x])

    def _emit_partials(self, turn: Any, ends: Sequence[ir.Value], chunk: Any, end: Any) -> None:
        b, partials = self.b, self.table["partials"]
        results = []
        for column, (reduction, value) in enumerate(zip(self.reductions, ends, strict=True)):
            result = b.phi(F64)
            result.add_incoming(F64(REDUCTION_START[reduction.op]), chunk)
            result.add_incoming(value, end)
            results.append((column, result))
        for column, result in results:
            at = b.add(b.mul(turn, I64(len(ends))), I64(column))
            b.store(result, self._at(partials, at, F64))

    def _function(self, op: str, arity: int) -> ir.Function:
        return function_of(self.module, op, self.dtype, arity)
