"""Stochastic rounding as LLVM instructions (see `program/narrow.py`, which says what they compute)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llvmlite import ir

from thalweg.engine.cpu.functions.noise import mixed
from thalweg.engine.program.formats import MIX32, NAN, SEED, SHARE
from thalweg.engine.program.noise import GOLDEN

I16, I32, I64 = (ir.IntType(size) for size in (16, 32, 64))
F32 = ir.FloatType()
UPPER_HALF = I32(0xFFFF0000)


def emit_bits(b: ir.IRBuilder, key_parts: Iterable[Any], offset: Any, index: Any) -> ir.Value:
    """Draw 32 bits for the element `index` of a chunk, keyed by 64-bit integers: step, tensor, draw.

    What does not depend on the element stands apart, so that a loop computes it once.
    """
    key: Any = I64(0)
    for part in (I64(SEED), *key_parts):
        key = mixed(b, b.add(b.xor(key, part), I64(GOLDEN)))
    low, high = b.trunc(key, I32), b.trunc(b.lshr(key, I64(32)), I32)
    x = b.add(b.trunc(index, I32), b.add(b.trunc(offset, I32), low))
    for turn, (shift, factor) in enumerate(MIX32):
        if turn == 1:
            x = b.xor(x, high)
        x = b.xor(x, b.lshr(x, I32(shift)))
        if factor is not None:
            x = b.mul(x, I32(factor))
    return x


def emit_share(b: ir.IRBuilder, drawn: Any, shift: int) -> ir.Value:
    """Return the random bits of one state."""
    return b.and_(b.lshr(drawn, I32(shift)), I32((1 << SHARE) - 1))


def emit_narrowed(b: ir.IRBuilder, x: Any, drawn: Any, shift: int) -> ir.Value:
    """Round a float32 to bfloat16 stochastically; it stays a float32."""
    added = b.add(b.bitcast(x, I32), emit_share(b, drawn, shift))
    return _unless_nan(b, x, b.and_(added, UPPER_HALF))


def emit_upper(b: ir.IRBuilder, x: Any) -> ir.Value:
    """Round a float32 to the nearest bfloat16."""
    added = b.add(b.bitcast(x, I32), I32(0x8000))
    return _unless_nan(b, x, b.and_(added, UPPER_HALF))


def emit_lower(b: ir.IRBuilder, x: Any) -> ir.Value:
    """Return what `emit_upper` left of a float32, as a float32."""
    left = b.sub(b.bitcast(x, I32), b.bitcast(emit_upper(b, x), I32))
    nan = b.fcmp_unordered("uno", x, x)
    return b.sitofp(b.select(nan, I32(0), left), F32)


def emit_joined(b: ir.IRBuilder, upper_half: Any, lower_half: Any) -> ir.Value:
    """Return the float32 of both halves."""
    return b.bitcast(b.add(b.bitcast(upper_half, I32), b.fptosi(lower_half, I32)), F32)


def _unless_nan(b: ir.IRBuilder, x: Any, rounded: Any) -> ir.Value:
    nan = b.fcmp_unordered("uno", x, x)
    return b.bitcast(b.select(nan, I32(NAN), rounded), F32)
