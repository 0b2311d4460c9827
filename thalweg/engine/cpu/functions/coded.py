"""Numbers in 8 bits as LLVM instructions (see `program/coded.py`, which says what they compute)."""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from thalweg.engine.program.coded import SIGNED_ZERO, SMALLEST, STEP, UNSIGNED_ZERO
from thalweg.engine.program.narrow import SHARE

I1, I8, I32, I64 = (ir.IntType(size) for size in (1, 8, 32, 64))
F32 = ir.FloatType()
SIGN, SIZE, INFINITY = I32(0x80000000), I32(0x7FFFFFFF), I32(0x7F800000)


class Scale(NamedTuple):
    """What a block's codes are multiplied or divided by, and whether it has numbers below zero."""

    factor: Any
    signed: Any
    zero: Any
    """The bits of V(0)."""


def emit_scale(b: ir.IRBuilder, kept: Any) -> Scale:
    """Read a scale as it is kept: with a minus sign in a block without negatives."""
    word = b.bitcast(kept, I32)
    signed = b.icmp_signed(">=", word, I32(0))
    most = b.bitcast(b.and_(word, SIZE), F32)
    return Scale(most, signed, _zero(b, signed))


def emit_decoded(b: ir.IRBuilder, code: Any, scale: Scale) -> ir.Value:
    """Return the float32 that a code stands for."""
    wide = b.sext(code, I32)
    negative = b.and_(b.icmp_signed("<", wide, I32(0)), scale.signed)
    size = b.select(negative, b.neg(wide), b.and_(wide, I32(0xFF)))
    x = b.fmul(_value(b, size, scale), scale.factor)
    return b.select(negative, b.fneg(x), x)


def emit_found(b: ir.IRBuilder, x: Any) -> tuple[Any, Any]:
    """Return the size of a float32 as an integer, which orders as sizes do, and whether it is below zero.

    The integer of a NaN is larger than that of infinity.
    """
    word = b.bitcast(x, I32)
    below = b.and_(word, SIGN)
    size = b.and_(word, SIZE)
    return size, b.select(b.icmp_signed("==", size, I32(0)), I32(0), below)


def emit_new_scale(b: ir.IRBuilder, size: Any, below: Any) -> tuple[Scale, Any]:
    """Return the scale of a block by its largest size, and the number that is kept."""
    signed = b.icmp_signed("!=", below, I32(0))
    finite = b.icmp_signed("<", size, INFINITY)
    kept = b.select(signed, size, b.or_(size, SIGN))
    kept = b.select(finite, kept, I32(0x7FC00000))
    most = b.bitcast(size, F32)
    usable = b.and_(finite, b.fcmp_ordered(">=", most, F32(SMALLEST)))
    inverse = b.fdiv(F32(1.0), b.select(usable, most, F32(1.0)))
    inverse = b.select(usable, inverse, F32(0.0))
    return Scale(inverse, signed, _zero(b, signed)), b.bitcast(kept, F32)


def emit_coded(b: ir.IRBuilder, x: Any, drawn: Any, scale: Scale) -> ir.Value:
    """Return the code of a float32, rounded by 16 random bits."""
    word = b.bitcast(x, I32)
    part = b.fmul(b.bitcast(b.and_(word, SIZE), F32), scale.factor)
    # infinity times zero: of a block that is NaN as a whole
    part = b.select(b.fcmp_ordered(">", part, F32(0.0)), part, F32(0.0))
    part = b.select(b.fcmp_ordered("<", part, F32(1.0)), part, F32(1.0))
    moved = b.bitcast(b.fadd(part, b.bitcast(scale.zero, F32)), I32)
    first = b.ashr(b.sub(moved, scale.zero), I32(STEP))
    below = _value(b, first, scale)
    above = _value(b, b.add(first, I32(1)), scale)
    chance = b.fmul(b.sitofp(drawn, F32), F32(2.0**-SHARE))
    up = b.fcmp_ordered("<", b.fmul(chance, b.fsub(above, below)), b.fsub(part, below))
    code = b.add(first, b.zext(up, I32))
    positive = b.fcmp_ordered(">", part, F32(0.0))
    least = b.zext(b.and_(positive, b.not_(scale.signed)), I32)
    code = b.select(b.icmp_signed("<", code, least), least, code)
    negative = b.and_(b.icmp_signed("<", word, I32(0)), scale.signed)
    return b.trunc(b.select(negative, b.neg(code), code), I8)


def _zero(b: ir.IRBuilder, signed: Any) -> ir.Value:
    return b.select(signed, I32(SIGNED_ZERO), I32(UNSIGNED_ZERO))


def _value(b: ir.IRBuilder, q: Any, scale: Scale) -> ir.Value:
    """Return V(q) − V(0)."""
    moved = b.add(scale.zero, b.shl(q, I32(STEP)))
    return b.fsub(b.bitcast(moved, F32), b.bitcast(scale.zero, F32))
