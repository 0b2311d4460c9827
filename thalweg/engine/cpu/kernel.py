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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from llvmlite import ir

from thalweg.engine.cpu.coding import emit_codes
from thalweg.engine.cpu.functions.called import CALLED, INSTRUCTIONS, function_of, library_symbols
from thalweg.engine.cpu.functions.division import emit_floordiv, emit_mod
from thalweg.engine.cpu.functions.narrow import (
    emit_bits,
    emit_joined,
    emit_lower,
    emit_narrowed,
    emit_upper,
)
from thalweg.engine.cpu.functions.noise import NOISE_FUNCTIONS, emit_noise
from thalweg.engine.cpu.slots import F32, F64, I64, POINTER, Slots
from thalweg.engine.program.formats import BLOCK as CODED
from thalweg.engine.program.printing import Layout
from thalweg.engine.program.program import Level, Program, Value
from thalweg.engine.program.stored import STORED

I1 = ir.IntType(1)
ROUNDED = ("narrowed", "joined", "upper", "lower")
CHUNK_FIELDS = 5
CALL = ("pointers", "chunks", "rows", "reduced", "partials", "chunk count", "chunks taken")
"""What the argument of a kernel holds, in order."""
BLOCK = 1024
"""Elements that are summed in the precision of the data before the sum goes on in float64: in float64 alone
sums take a third longer, and in float32 alone they are too rough."""
CHUNK_LIMIT = 2**62
REDUCTION_START = {"sum": 0.0, "max": -math.inf}

Emit = Callable[..., ir.Value]

COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}


def unsupported(program: Program) -> tuple[str, ...]:
    """Return the operations of a program that no kernel can run."""
    known = {*COMPARISONS, *ARITHMETIC, *INSTRUCTIONS, *CALLED, *_SPECIAL, "noise", *STORED}
    leaves = {"constant", "scalar", "tensor", "elements", "sum", "max", "foreign"}
    wide = (v.op for v in program.values if v.level == Level.TENSOR)
    return (*program.foreign, *(op for op in wide if op not in known and op not in leaves))


def needed_symbols(program: Program) -> list[str]:
    """Return the C functions that the kernels of a program call."""
    used = {v.op for v in program.values if v.level == Level.TENSOR}
    if "noise" in used:
        used |= set(NOISE_FUNCTIONS)
    return [*library_symbols(used, "float64"), *library_symbols(used, "float32")]


def print_kernel(program: Program, stage: int, layout: Layout, name: str) -> str:
    """Return the LLVM text of the pass of a stage."""
    return str(_Printer(program, stage, layout, name).module)


@dataclass
class _Printer:
    program: Program
    stage: int
    layout: Layout
    name: str
    module: ir.Module = field(default_factory=lambda: ir.Module("thalweg"))

    def __post_init__(self) -> None:
        self.dtype = "float64" if "float64" in self.layout.dtypes else "float32"
        self.real = F64 if self.dtype == "float64" else F32
        self.last = self.stage == self.program.stages
        self.roots = self.program.outputs_of(self.stage)
        self.reductions = () if self.last else self.program.reductions(self.stage)
        self.function = ir.Function(
            self.module, ir.FunctionType(ir.VoidType(), [POINTER]), self.name
        )
        self.slots = Slots(self.module, self.layout.dtypes, self.real)
        coded = enumerate(self.roots, start=1) if self.last else ()
        self.coded = [(slot, root) for slot, root in coded if root.op == "coded"]
        self._emit_chunks()

    # -- memory ---------------------------------------------------------------------------------------

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
        pointers, chunks, rows, reduced, partials = (
            b.inttoptr(self._read(call, I64(k), I64), POINTER)
            for k in range(CALL.index("chunk count"))
        )
        n = self._read(call, I64(CALL.index("chunk count")), I64)
        counter = self._at(call, I64(CALL.index("chunks taken")), I64)
        b.branch(take)
        b.position_at_end(take)
        turn = b.atomic_rmw("add", counter, I64(1), "monotonic")
        b.cbranch(b.icmp_signed("<", turn, n), chunk, done)

        b.position_at_end(chunk)
        at = b.mul(turn, I64(CHUNK_FIELDS))
        tensor, offset, length, row, entry = (
            self._read(chunks, b.add(at, I64(k)), I64) for k in range(CHUNK_FIELDS)
        )
        self.slots.open(b, pointers, tensor, offset)
        self.known: dict[Value, ir.Value] = {}
        self.whole: dict[Value, ir.Value] = {}
        self.offset = offset
        self._read_scalars(self.layout.rows, rows, row)
        self._read_scalars(self.layout.reduced, reduced, entry)
        ends, end = self._emit_blocks(length, chunk, after)
        b.position_at_end(after)
        self._emit_partials(partials, turn, ends, chunk, end)
        b.branch(take)
        ir.IRBuilder(done).ret_void()

    def _emit_blocks(self, length: Any, chunk: Any, after: Any) -> tuple[list[ir.Value], Any]:
        """Go through a chunk, block by block; return its reductions, and where they are known."""
        b = self.b
        block, loop, end = map(self.function.append_basic_block, ("block", "loop", "end"))
        b.cbranch(b.icmp_signed(">", length, I64(0)), block, after)

        b.position_at_end(block)
        start = b.phi(I64)
        start.add_incoming(I64(0), chunk)
        sums = self._open_sums(F64, chunk)
        self.slots.open_block(b, start)
        longest = BLOCK if self.reductions else CHUNK_LIMIT
        beyond = b.add(start, I64(CODED if self.slots.scale_of else longest))
        stop = b.select(b.icmp_signed("<", beyond, length), beyond, length)
        b.branch(loop)

        b.position_at_end(loop)
        index = self.index = b.phi(I64)
        self.start = start
        index.add_incoming(start, block)
        partial = self._open_sums(self.real, block)
        partial_ends = self._emit_body(index, partial)
        following = b.add(index, I64(1))
        index.add_incoming(following, loop)
        self._close(partial, partial_ends, loop)
        b.cbranch(b.icmp_signed("<", following, stop), loop, end)

        b.position_at_end(end)
        ends = [
            self._accumulate(reduction.op, whole, x if x.type == F64 else b.fpext(x, F64))
            for reduction, whole, x in zip(self.reductions, sums, partial_ends, strict=True)
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

    def _open_sums(self, element: ir.Type, before: Any) -> list[Any]:
        """Begin the reductions of the pass, as variables of a loop."""
        starts = []
        for reduction in self.reductions:
            start = self.b.phi(element)
            start.add_incoming(element(REDUCTION_START[reduction.op]), before)
            starts.append(start)
        return starts

    @staticmethod
    def _close(starts: Sequence[Any], ends: Sequence[ir.Value], loop: Any) -> None:
        """Say with which values the variables of a loop go on."""
        for start, end in zip(starts, ends, strict=True):
            start.add_incoming(end, loop)

    def _emit_body(self, index: Any, partial: Sequence[Any]) -> list[ir.Value]:
        """Compute one element; store it, or add it to the reductions, which are returned."""
        part = self.program.part(self.roots, Level.TENSOR)
        slot_of = {name: slot for slot, name in enumerate(self.program.tensors)}
        slots = {v: slot for slot, v in enumerate(self.layout.reads, start=len(slot_of))}
        slots |= {v: slot_of[v.data] for v in part.computes if v.op == "tensor"}
        for value in part.computes:
            if value in slots:
                self.known[value] = self.slots.load(self.b, slots[value], index)
        for value in part.computes:
            if value not in slots and value.op != "coded":
                self.known[value] = self._emit(value)
        first = len(slot_of) + len(self.layout.reads)
        for slot, value in enumerate(self.layout.writes, start=first):
            self.slots.store(self.b, self._as_real(self._value(value)), slot, index)
        if self.last:
            for slot, root in enumerate(self.roots, start=1):
                self._store(root, slot, index)
        return [
            self._accumulate(reduction.op, start, self._as_real(self._value(root)))
            for reduction, start, root in zip(self.reductions, partial, self.roots, strict=False)
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
            # the order of a sum is free, or it could not be vectorised; it is the same on every run
            return self.b.fadd(start, x, flags=("reassoc",))
        maximum = function_of(self.module, "maximum", "float64" if x.type == F64 else "float32", 2)
        return self.b.call(maximum, [start, x])

    def _emit_partials(
        self, partials: Any, turn: Any, ends: Sequence[ir.Value], chunk: Any, end: Any
    ) -> None:
        b = self.b
        results = []
        for column, (reduction, value) in enumerate(zip(self.reductions, ends, strict=True)):
            result = b.phi(F64)
            result.add_incoming(F64(REDUCTION_START[reduction.op]), chunk)
            result.add_incoming(value, end)
            results.append((column, result))
        for column, result in results:
            at = b.add(b.mul(turn, I64(len(ends))), I64(column))
            b.store(result, self._at(partials, at, F64))

    # -- operations -----------------------------------------------------------------------------------

    def _value(self, value: Value) -> ir.Value:
        if value.op == "constant":
            return I1(int(value.data)) if value.boolean else self.real(value.data)
        return self.known[value]

    def _as_real(self, x: ir.Value) -> ir.Value:
        return self.b.uitofp(x, self.real) if x.type == I1 else x

    def _emit(self, value: Value) -> ir.Value:
        op = value.op
        if op == "noise":
            counter = self.b.add(self.offset, self.index)
            functions = [self._function(name, 1) for name in NOISE_FUNCTIONS]
            parts = [*map(self._whole, value.operands), *([I64(value.data)] if value.data else [])]
            return emit_noise(self.b, parts, counter, *functions)
        if op == "bits":
            return self._bits(value, I64(0), self.index)
        operands = [self._value(v) for v in value.operands]
        if op in ROUNDED:
            return self._rounded(value, operands)
        if op in _SPECIAL:
            return _SPECIAL[op](self, *operands)
        operands = [self._as_real(x) for x in operands]
        if op in ARITHMETIC:
            return getattr(self.b, ARITHMETIC[op])(*operands)
        if op in COMPARISONS:
            ordered = self.b.fcmp_unordered if op == "ne" else self.b.fcmp_ordered
            return ordered(COMPARISONS[op], *operands)
        return self.b.call(self._function(op, len(operands)), operands)

    def _bits(self, value: Value, start: Any, place: Any) -> ir.Value:
        """Draw the random bits of the element that is `place` behind another one of the chunk."""
        parts = [*map(self._whole, value.operands), I64(value.data)]
        return emit_bits(self.b, parts, self.b.add(self.offset, start), place)

    def _rounded(self, value: Value, operands: Sequence[ir.Value]) -> ir.Value:
        b, first = self.b, self.slots.single(self.b, self._as_real(operands[0]))
        if value.op == "narrowed":
            rounded = emit_narrowed(b, first, operands[1], value.data)
        elif value.op == "joined":
            rounded = emit_joined(b, first, self.slots.single(b, operands[1]))
        else:
            rounded = (emit_upper if value.op == "upper" else emit_lower)(b, first)
        return rounded if self.real == F32 else b.fpext(rounded, F64)

    def _whole(self, value: Value) -> ir.Value:
        """Return the integer that a scalar holds."""
        number = F64(float(value.data)) if value.op == "constant" else self.whole[value]
        return self.b.fptosi(number, I64)

    def _function(self, op: str, arity: int) -> ir.Function:
        return function_of(self.module, op, self.dtype, arity)

    def where(self, condition: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
        if condition.type != I1:
            condition = self.b.fcmp_unordered("!=", condition, self.real(0.0))
        if a.type != b.type:
            a, b = self._as_real(a), self._as_real(b)
        return self.b.select(condition, a, b)

    def sign(self, x: ir.Value) -> ir.Value:
        zero, one = self.real(0.0), self.real(1.0)
        positive = self.b.select(self.b.fcmp_ordered(">", x, zero), one, zero)
        return self.b.select(self.b.fcmp_ordered("<", x, zero), self.real(-1.0), positive)

    def is_infinite(self, x: ir.Value) -> ir.Value:
        size = self.b.call(self._function("abs", 1), [x])
        return self.b.fcmp_ordered("==", size, self.real(math.inf))

    def is_finite(self, x: ir.Value) -> ir.Value:
        size = self.b.call(self._function("abs", 1), [x])
        return self.b.fcmp_ordered("<", size, self.real(math.inf))

    def bounded(self, x: ir.Value) -> ir.Value:
        most = float(np.finfo(self.dtype).max)
        below = self.b.select(self.b.fcmp_ordered(">", x, self.real(most)), self.real(most), x)
        low = self.b.fcmp_ordered("<", below, self.real(-most))
        return self.b.select(low, self.real(-most), below)

    def floordiv(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return emit_floordiv(
            self.b, x, y, self._function("floor", 1), self._function("copysign", 2)
        )

    def truth(self, x: ir.Value) -> ir.Value:
        return x if x.type == I1 else self.b.fcmp_unordered("!=", x, self.real(0.0))


_SPECIAL: Mapping[str, Emit] = {
    "neg": lambda k, x: k.b.fneg(x),
    "real": lambda k, x: k._as_real(x),
    "spread": lambda k, x: k._as_real(x),
    "where": _Printer.where,
    "sign": _Printer.sign,
    "bounded": _Printer.bounded,
    "fmod": lambda k, x, y: k.b.frem(x, y),
    "mod": lambda k, x, y: emit_mod(k.b, x, y),
    "floordiv": _Printer.floordiv,
    "isnan": lambda k, x: k.b.fcmp_unordered("uno", x, x),
    "isinf": _Printer.is_infinite,
    "isfinite": _Printer.is_finite,
    "logical_not": lambda k, x: k.b.not_(k.truth(x)),
    "logical_and": lambda k, x, y: k.b.and_(k.truth(x), k.truth(y)),
    "logical_or": lambda k, x, y: k.b.or_(k.truth(x), k.truth(y)),
}
