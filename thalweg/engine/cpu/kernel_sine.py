"""Sine and cosine of vectors of float32, printed as LLVM: computed in float64, with a result of half an ulp.

    x = n·π/2 + r,  |r| ≤ π/4      sin x is ± sin r or ± cos r, by n mod 4

n·π/2 is subtracted in two parts, the first of which is exact up to `BOUND`; the polynomials of r are those of
FreeBSD's msun (k_sinf.c, k_cosf.c). The functions of the libraries are slower, or further than 2 ulp off.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

BOUND = 2.0**20
"""From here on the C library computes."""
_HALF_PI = (1.57079631090164184570, 1.58932547735281966916e-08)
_SINE = (
    -0.166666666416265235595,
    0.0083333293858894631756,
    -0.000198393348360966317347,
    2.7183114939898219064e-06,
)
_COSINE = (
    -0.499999997251031003120,
    0.0416666233237390631894,
    -0.00138867637746099294692,
    2.43904487962774090654e-05,
)
_ROUND = 1.5 * 2.0**52
"""Added to a number and subtracted again it rounds to an integer, which the last bits then hold."""
_I64, _F64 = ir.IntType(64), ir.DoubleType()


def emit_sine(b: ir.IRBuilder, x: ir.Value, turns: int, muladd: ir.Function) -> ir.Value:
    """Return sin(x + turns·π/2) of a vector; `muladd` is LLVM's, for as many numbers of float64."""
    width = x.type.count
    doubles, integers = ir.VectorType(_F64, width), ir.VectorType(_I64, width)

    def all_of(kind: Any, number: Any) -> ir.Constant:
        return ir.Constant(kind, [number] * width)

    def polynomial(z: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
        total: ir.Value = all_of(doubles, coefficients[-1])
        for c in coefficients[-2::-1]:
            total = b.call(muladd, [total, z, all_of(doubles, c)])
        return total

    wide = b.fpext(x, doubles)
    rounded = b.call(muladd, [wide, all_of(doubles, 2 / math.pi), all_of(doubles, _ROUND)])
    n = b.fsub(rounded, all_of(doubles, _ROUND))
    r = wide
    for part in _HALF_PI:
        r = b.call(muladd, [n, all_of(doubles, -part), r])
    z = b.fmul(r, r)
    sine = b.call(muladd, [b.fmul(r, z), polynomial(z, _SINE), r])
    cosine = b.call(muladd, [z, polynomial(z, _COSINE), all_of(doubles, 1.0)])
    quarter = b.add(b.bitcast(rounded, integers), all_of(integers, turns))
    odd = b.icmp_signed("!=", b.and_(quarter, all_of(integers, 1)), all_of(integers, 0))
    sign = b.shl(b.and_(quarter, all_of(integers, 2)), all_of(integers, 62))
    chosen = b.bitcast(b.select(odd, cosine, sine), integers)
    result = b.fptrunc(b.bitcast(b.xor(chosen, sign), doubles), x.type)
    if turns:
        return result
    zero = b.fcmp_ordered("==", x, ir.Constant(x.type, [0.0] * width))
    return b.select(zero, x, result)  # −0, of which r is 0
