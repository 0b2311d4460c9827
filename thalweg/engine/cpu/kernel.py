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

from thalweg.engine.cpu.functions.called import CALLED, INSTRUCTIONS, function_of, library_symbols
from thalweg.engine.cpu.functions.division import emit_floordiv, emit_mod
from thalweg.engine.cpu.functions.noise import NOISE_FUNCTIONS, emit_noise
from thalweg.engine.program.printing import Layout
from thalweg.engine.program.program import Level, Program, Value

I1, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))
F32, F64, POINTER = ir.FloatType(), ir.DoubleType(), ir.PointerType()
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
    known = {*COMPARISONS, *ARITHMETIC, *INSTRUCTIONS, *CALLED, *_SPECIAL, "noise"}
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
        self.scopes = self._alias_scopes()
        self._emit_chunks()

    # -- memory ---------------------------------------------------------------------------------------

    def _alias_scopes(self) -> list[tuple[Any, Any]]:
        """Tell LLVM that the slots of a tensor do not overlap, or it gives up vectorising five of them."""
        domain = self.module.add_metadata(["slots"])
        scopes = [
            self.module.add_metadata([f"slot {k}", domain]) for k in range(len(self.layout.dtypes))
        ]
        return [
            (
                self.module.add_metadata([scope]),
                self.module.add_metadata([other for other in scopes if other is not scope]),
            )
            for scope in scopes
        ]

    def _tag(self, instruction: Any, slot: int) -> None:
        scope, others = self.scopes[slot]
        instruction.set_metadata("alias.scope", scope)
        instruction.set_metadata("noalias", others)

    def _at(self, base: Any, index: Any, element: ir.Type) -> Any:
        return self.b.gep(base, [index], source_etype=element)

    def _read(self, base: Any, index: Any, element: ir.Type) -> Any:
        return self.b.load(self._at(base, index, element), typ=element)

    def _load_slot(self, slot: int, index: Any) -> ir.Value:
        dtype = self.layout.dtypes[slot]
        element = {"float32": F32, "float64": F64, "bfloat16": I16}[dtype]
        loaded = self.b.load(self._at(self.slots[slot], index, element), typ=element)
        self._tag(loaded, slot)
        if dtype == "bfloat16":  # the upper half of a float32
            loaded = self.b.bitcast(self.b.shl(self.b.zext(loaded, I32), I32(16)), F32)
        return loaded if loaded.type == self.real else self.b.fpext(loaded, self.real)

    def _store_slot(self, value: ir.Value, slot: int, index: Any) -> None:
        b, dtype = self.b, self.layout.dtypes[slot]
        if dtype != "float64" and self.real == F64:
            value = b.fptrunc(value, F32)
        element: ir.Type = F64 if dtype == "float64" else F32
        if dtype == "bfloat16":
            value, element = self._round_to_bfloat16(value), I16
        self._tag(b.store(value, self._at(self.slots[slot], index, element)), slot)

    def _round_to_bfloat16(self, value: ir.Value) -> ir.Value:
        """Round to nearest, ties to even; a NaN stays one."""
        b = self.b
        bits = b.bitcast(value, I32)
        odd = b.and_(b.lshr(bits, I32(16)), I32(1))
        rounded = b.lshr(b.add(bits, b.add(odd, I32(0x7FFF))), I32(16))
        nan = b.fcmp_unordered("uno", value, value)
        return b.trunc(b.select(nan, I32(0x7FC0), rounded), I16)

    # -- loops ----------------------------------------------------------------------------------------

    def _emit_chunks(self) -> None:
        function = self.function
        call = function.args[0]
        entry, take, chunk, after, done = (
            function.append_basic_block(label)
            for label in ("entry", "take", "chunk", "after", "done")
        )
        b = self.b = ir.IRBuilder(entry)
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
        self._open_slots(pointers, tensor, offset)
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
        beyond = b.add(start, I64(BLOCK if self.reductions else CHUNK_LIMIT))
        stop = b.select(b.icmp_signed("<", beyond, length), beyond, length)
        b.branch(loop)

        b.position_at_end(loop)
        index = self.index = b.phi(I64)
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
        start.add_incoming(stop, end)
        self._close(sums, ends, end)
        b.cbranch(b.icmp_signed("<", stop, length), block, after)
        return ends, end

    def _open_slots(self, pointers: Any, tensor: Any, offset: Any) -> None:
        """Read the address of every slot and move it to the start of the chunk."""
        b, width = self.b, len(self.layout.dtypes)
        base = b.mul(tensor, I64(width))
        elements = {"float32": F32, "float64": F64, "bfloat16": I16}
        self.slots = []
        for slot, dtype in enumerate(self.layout.dtypes):
            address = self._read(pointers, b.add(base, I64(slot)), I64)
            self.slots.append(self._at(b.inttoptr(address, POINTER), offset, elements[dtype]))

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
                self.known[value] = self._load_slot(slots[value], index)
        for value in part.computes:
            if value not in slots:
                self.known[value] = self._emit(value)
        first = len(slot_of) + len(self.layout.reads)
        for slot, value in enumerate(self.layout.writes, start=first):
            self._store_slot(self._as_real(self._value(value)), slot, index)
        if self.last:
            for slot, root in enumerate(self.roots, start=1):
                self._store_slot(self._as_real(self._value(root)), slot, index)
        return [
            self._accumulate(reduction.op, start, self._as_real(self._value(root)))
            for reduction, start, root in zip(self.reductions, partial, self.roots, strict=False)
        ]

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
        operands = [self._value(v) for v in value.operands]
        if op in _SPECIAL:
            return _SPECIAL[op](self, *operands)
        operands = [self._as_real(x) for x in operands]
        if op in ARITHMETIC:
            return getattr(self.b, ARITHMETIC[op])(*operands)
        if op in COMPARISONS:
            ordered = self.b.fcmp_unordered if op == "ne" else self.b.fcmp_ordered
            return ordered(COMPARISONS[op], *operands)
        return self.b.call(self._function(op, len(operands)), operands)

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
