"""The noise of one element as LLVM instructions (see `noise.py`)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from llvmlite import ir

from thalweg.engine.program.noise import GOLDEN, HALF, MIX, SCALE

I64 = ir.IntType(64)
NOISE_FUNCTIONS = ("log", "cos", "sqrt")
"""What the transform to a normal needs, in the order in which `emit_noise` takes them."""


def emit_noise(
    b: ir.IRBuilder, key_parts: Iterable[Any], element: Any, log: Any, cos: Any, sqrt: Any
) -> ir.Value:
    """Draw the noise of an element, keyed by 64-bit integers: seed, step, tensor."""
    golden, key = I64(GOLDEN), I64(0)
    for part in key_parts:
        key = mixed(b, b.add(b.xor(key, part), golden))
    bits = mixed(b, b.add(key, b.mul(b.add(element, I64(1)), golden)))
    real = log.function_type.return_type
    upper = b.add(b.lshr(bits, I64(HALF)), I64(1))
    lower = b.and_(bits, I64(2**HALF - 1))
    u, v = (b.fmul(b.sitofp(half, real), real(SCALE)) for half in (upper, lower))
    radius = b.call(sqrt, [b.fmul(real(-2.0), b.call(log, [u]))])
    return b.fmul(radius, b.call(cos, [b.fmul(real(2.0 * math.pi), v)]))


def mixed(b: ir.IRBuilder, x: Any) -> Any:
    """Mix the bits of a 64-bit integer."""
    for shift, factor in MIX:
        x = b.xor(x, b.lshr(x, I64(shift)))
        if factor is not None:
            x = b.mul(x, I64(factor))
    return x
