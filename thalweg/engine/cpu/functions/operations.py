"""What a kernel computes of an element: the operations of the vocabulary as LLVM instructions and calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from thalweg.engine.cpu.functions.division import emit_floordiv, emit_mod
from thalweg.engine.cpu.functions.narrow import (
    emit_bits,
    emit_joined,
    emit_lower,
    emit_narrowed,
    emit_upper,
)
from thalweg.engine.cpu.functions.noise import NOISE_FUNCTIONS, emit_noise
from thalweg.engine.program.program import Value

I1, I64, F32, F64 = ir.IntType(1), ir.IntType(64), ir.FloatType(), ir.DoubleType()
ROUNDED = ("narrowed", "joined", "upper", "lower")

Emit = Callable[..., ir.Value]

COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}


class Operations:
    """Prints operations on numbers that are known by the values of a program."""

    b: ir.IRBuilder
    module: ir.Module
    dtype: str
    real: ir.Type
    known: dict[Value, ir.Value]
    whole: dict[Value, ir.Value]
    """Scalars, in float64."""
    offset: Any
    index: Any
    """Where the element lies: behind the offset, in its tensor."""

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
        b, first = self.b, self._single(self._as_real(operands[0]))
        if value.op == "narrowed":
            rounded = emit_narrowed(b, first, operands[1], value.data)
        elif value.op == "joined":
            rounded = emit_joined(b, first, self._single(operands[1]))
        else:
            rounded = (emit_upper if value.op == "upper" else emit_lower)(b, first)
        return rounded if self.real == F32 else b.fpext(rounded, F64)

    def _single(self, x: ir.Value) -> ir.Value:
        return self.b.fptrunc(x, F32) if x.type == F64 else x

    def _whole(self, value: Value) -> ir.Value:
        """Return the integer that a scalar holds."""
        number = F64(float(value.data)) if value.op == "constant" else self.whole[value]
        return self.b.fptosi(number, I64)

    def _function(self, op: str, arity: int) -> ir.Function:
        raise NotImplementedError

    def where(self, condition: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return one of two numbers, by a condition."""
        if condition.type != I1:
            condition = self.b.fcmp_unordered("!=", condition, self.real(0.0))
        if a.type != b.type:
            a, b = self._as_real(a), self._as_real(b)
        return self.b.select(condition, a, b)

    def sign(self, x: ir.Value) -> ir.Value:
        """Return −1, 0 or 1; of a NaN 0."""
        zero, one = self.real(0.0), self.real(1.0)
        positive = self.b.select(self.b.fcmp_ordered(">", x, zero), one, zero)
        return self.b.select(self.b.fcmp_ordered("<", x, zero), self.real(-1.0), positive)

    def is_infinite(self, x: ir.Value) -> ir.Value:
        """Return whether a number is ∞ or −∞."""
        size = self.b.call(self._function("abs", 1), [x])
        return self.b.fcmp_ordered("==", size, self.real(math.inf))

    def is_finite(self, x: ir.Value) -> ir.Value:
        """Return whether a number is neither infinite nor a NaN."""
        size = self.b.call(self._function("abs", 1), [x])
        return self.b.fcmp_ordered("<", size, self.real(math.inf))

    def bounded(self, x: ir.Value) -> ir.Value:
        """Return a number between the least and the largest finite one; a NaN stays one."""
        most = float(np.finfo(self.dtype).max)
        below = self.b.select(self.b.fcmp_ordered(">", x, self.real(most)), self.real(most), x)
        low = self.b.fcmp_ordered("<", below, self.real(-most))
        return self.b.select(low, self.real(-most), below)

    def floordiv(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """Return x/y, rounded down."""
        return emit_floordiv(
            self.b, x, y, self._function("floor", 1), self._function("copysign", 2)
        )

    def truth(self, x: ir.Value) -> ir.Value:
        """Return whether a number is not 0."""
        return x if x.type == I1 else self.b.fcmp_unordered("!=", x, self.real(0.0))


_SPECIAL: Mapping[str, Emit] = {
    "neg": lambda k, x: k.b.fneg(x),
    "real": lambda k, x: k._as_real(x),
    "spread": lambda k, x: k._as_real(x),
    "where": Operations.where,
    "sign": Operations.sign,
    "bounded": Operations.bounded,
    "fmod": lambda k, x, y: k.b.frem(x, y),
    "mod": lambda k, x, y: emit_mod(k.b, x, y),
    "floordiv": Operations.floordiv,
    "isnan": lambda k, x: k.b.fcmp_unordered("uno", x, x),
    "isinf": Operations.is_infinite,
    "isfinite": Operations.is_finite,
    "logical_not": lambda k, x: k.b.not_(k.truth(x)),
    "logical_and": lambda k, x, y: k.b.and_(k.truth(x), k.truth(y)),
    "logical_or": lambda k, x, y: k.b.or_(k.truth(x), k.truth(y)),
}
