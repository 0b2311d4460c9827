"""Numbers in 8 bits as LLVM instructions (see `program/coded.py`, which says what they compute)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir

from thalweg.engine.program.coded import SIGNED, UNSIGNED
from thalweg.engine.program.narrow import SHARE

I1, I8, I32, I64 = (ir.IntType(size) for size in (1, 8, 32, 64))
F32 = ir.FloatType()
SIGN, SIZE, INFINITY = I32(0x80000000), I32(0x7FFFFFFF), I32(0x7F800000)


class Scale(NamedTuple):
    """What a block's codes are multiplied by, and whether the block has numbers below zero."""

    most: Any
    signed: Any
    levels: Any


def emit_scale(b: ir.IRBuilder, kept: Any) -> Scale:
    """Read a scale as it is kept: with a minus sign in a block without negatives."""
    word = b.bitcast(kept, I32)
    signed = b.icmp_signed(">=", word, I32(0))
    most = b.bitcast(b.and_(word, SIZE), F32)
    return Scale(most, signed, b.select(signed, F32(SIGNED), F32(UNSIGNED)))


def emit_decoded(b: ir.IRBuilder, code: Any, scale: Scale) -> ir.Value:
    """Return the float32 that a code stands for."""
    wide = b.sext(code, I32)
    negative = b.and_(b.icmp_signed("<", wide, I32(0)), scale.signed)
    size = b.select(negative, b.neg(wide), b.and_(wide, I32(0xFF)))
    x = b.fmul(_power(b, b.sitofp(size, F32), scale), scale.most)
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
    usable = b.and_(finite, b.icmp_signed(">", size, I32(0)))
    divisor = b.bitcast(b.select(usable, size, INFINITY), F32)  # what is divided by it is 0
    levels = b.select(signed, F32(SIGNED), F32(UNSIGNED))
    return Scale(divisor, signed, levels), b.bitcast(kept, F32)


def emit_coded(
    b: ir.IRBuilder, x: Any, drawn: Any, scale: Scale, call: Callable[[str, Any], Any]
) -> ir.Value:
    """Return the code of a float32, rounded by 16 random bits. `call` calls a function by name."""
    size = b.bitcast(b.and_(b.bitcast(x, I32), SIZE), F32)
    part = b.fdiv(size, scale.most)
    # infinity over infinity: of a block that is NaN as a whole
    part = b.select(b.fcmp_ordered("<=", part, F32(1.0)), part, F32(0.0))
    root = call("sqrt", part)
    root = b.select(scale.signed, root, call("sqrt", root))
    first = call("floor", b.fmul(root, scale.levels))
    below = _power(b, first, scale)
    above = _power(b, b.fadd(first, F32(1.0)), scale)
    chance = b.fmul(b.sitofp(drawn, F32), F32(2.0**-SHARE))
    up = b.fcmp_ordered("<", b.fmul(chance, b.fsub(above, below)), b.fsub(part, below))
    code = b.add(b.fptosi(first, I32), b.zext(up, I32))
    positive = b.fcmp_ordered(">", part, F32(0.0))
    least = b.select(b.and_(positive, b.not_(scale.signed)), I32(1), I32(0))
    code = b.select(b.icmp_signed("<", code, least), least, code)
    negative = b.and_(b.fcmp_ordered("<", x, F32(0.0)), scale.signed)
    return b.trunc(b.select(negative, b.neg(code), code), I8)


def _power(b: ir.IRBuilder, q: Any, scale: Scale) -> ir.Value:
    ratio = b.fdiv(q, scale.levels)
    square = b.fmul(ratio, ratio)
    return b.select(scale.signed, square, b.fmul(square, square))
