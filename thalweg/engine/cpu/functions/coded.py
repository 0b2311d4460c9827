"""Numbers in 8 bits as LLVM instructions (see `program/coded.py`, which says what they compute)."""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from thalweg.engine.program.formats import (
    NAN,
    SHARE,
    SIGNED,
    SIGNED_ZERO,
    SMALLEST,
    STEP,
    UNSIGNED,
    UNSIGNED_ZERO,
)

I1, I8, I32, I64 = (ir.IntType(size) for size in (1, 8, 32, 64))
F32 = ir.FloatType()
SIGN, SIZE, INFINITY = I32(0x80000000), I32(0x7FFFFFFF), I32(0x7F800000)


class BlockScale(NamedTuple):
    """What a block's codes are multiplied or divided by, and whether it has numbers below zero."""

    factor: Any
    signed: Any
    zero: Any
    """The bits of V(0)."""


def emit_scale(b: ir.IRBuilder, kept: Any) -> BlockScale:
    """Read a scale as it is kept: with a minus sign in a block without negatives."""
    word = b.bitcast(kept, I32)
    signed = b.icmp_signed(">=", word, I32(0))
    most = b.bitcast(b.and_(word, SIZE), F32)
    return BlockScale(most, signed, _zero(b, signed))


def emit_decoded(b: ir.IRBuilder, code: Any, scale: BlockScale) -> ir.Value:
    """Return the float32 that a code stands for."""
    wide = b.zext(code, I32)
    size = b.and_(wide, b.select(scale.signed, I32(SIGNED), I32(UNSIGNED)))
    moved = b.add(scale.zero, b.shl(size, I32(STEP)))
    value = b.fsub(b.bitcast(moved, F32), b.bitcast(scale.zero, F32))
    sign = b.and_(b.shl(wide, I32(24)), _sign(b, scale))
    return b.bitcast(b.or_(b.bitcast(b.fmul(value, scale.factor), I32), sign), F32)


def emit_found(b: ir.IRBuilder, x: Any) -> tuple[Any, Any]:
    """Return the size of a float32 as an integer, which orders as sizes do, and one with its sign.

    The integer of a NaN is larger than that of infinity.
    """
    word = b.bitcast(x, I32)
    return b.and_(word, SIZE), word


def emit_new_scale(b: ir.IRBuilder, size: Any, words: Any) -> tuple[BlockScale, Any]:
    """Return the scale of a block, and the number that is kept.

    `size` is the largest size, `words` has a sign if any number of the block has.
    """
    signed = b.icmp_signed("<", words, I32(0))
    finite = b.icmp_signed("<", size, INFINITY)
    kept = b.select(signed, size, b.or_(size, SIGN))
    kept = b.select(finite, kept, I32(NAN))
    most = b.bitcast(size, F32)
    usable = b.and_(finite, b.fcmp_ordered(">=", most, F32(SMALLEST)))
    inverse = b.fdiv(F32(1.0), b.select(usable, most, F32(1.0)))
    inverse = b.select(usable, inverse, F32(0.0))
    return BlockScale(inverse, signed, _zero(b, signed)), b.bitcast(kept, F32)


def emit_coded(b: ir.IRBuilder, x: Any, random: Any, scale: BlockScale) -> ir.Value:
    """Return the code of a float32, rounded by 16 random bits."""
    word = b.bitcast(x, I32)
    part = b.fmul(b.bitcast(b.and_(word, SIZE), F32), scale.factor)
    moved = b.sub(b.bitcast(b.fadd(part, b.bitcast(scale.zero, F32)), I32), scale.zero)
    code = b.ashr(b.add(moved, b.shl(random, I32(STEP - SHARE))), I32(STEP))
    most = b.select(scale.signed, I32(SIGNED), I32(UNSIGNED))
    code = b.select(b.icmp_signed("<", code, most), code, most)
    least = b.select(scale.signed, I32(0), I32(1))
    least = b.select(b.fcmp_ordered(">", part, F32(0.0)), least, I32(0))
    code = b.select(b.icmp_signed(">", code, least), code, least)
    sign = b.lshr(b.and_(word, _sign(b, scale)), I32(24))
    return b.trunc(b.or_(code, sign), I8)


def _sign(b: ir.IRBuilder, scale: BlockScale) -> ir.Value:
    return b.select(scale.signed, SIGN, I32(0))


def _zero(b: ir.IRBuilder, signed: Any) -> ir.Value:
    return b.select(signed, I32(SIGNED_ZERO), I32(UNSIGNED_ZERO))
