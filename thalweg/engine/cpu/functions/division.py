"""Division with a remainder, as LLVM instructions: PyTorch's, from C's exact `fmod`."""

from __future__ import annotations

from llvmlite import ir


def emit_mod(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """Return the remainder with the sign of the divisor."""
    rest, apart = _remainder(b, x, y)
    return b.select(apart, b.fadd(rest, y), rest)


def emit_floordiv(
    b: ir.IRBuilder, x: ir.Value, y: ir.Value, floor: ir.Function, copysign: ir.Function
) -> ir.Value:
    """Return the floor of a quotient."""
    zero, one = x.type(0.0), x.type(1.0)
    rest, apart = _remainder(b, x, y)
    multiple = b.fdiv(b.fsub(x, rest), y)
    multiple = b.select(apart, b.fsub(multiple, one), multiple)
    below = b.call(floor, [multiple])
    above = b.fcmp_ordered(">", b.fsub(multiple, below), x.type(0.5))
    quotient = b.fdiv(x, y)
    signed = b.call(copysign, [zero, quotient])
    whole = b.select(above, b.fadd(below, one), below)
    whole = b.select(b.fcmp_unordered("!=", multiple, zero), whole, signed)
    return b.select(b.fcmp_ordered("==", y, zero), quotient, whole)


def _remainder(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return the remainder with the sign of x, and whether that of y is another one."""
    zero = x.type(0.0)
    rest = b.frem(x, y)
    signs = b.xor(b.fcmp_ordered("<", rest, zero), b.fcmp_ordered("<", y, zero))
    return rest, b.and_(b.fcmp_unordered("!=", rest, zero), signs)
