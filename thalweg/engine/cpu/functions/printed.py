"""Functions of vectors of float32 that are printed as LLVM, and so become a part of the loop of a kernel.

    exp x = 2ⁿ · eʳ           n = round(x / ln 2),  r = x − n ln 2
    log x = n ln 2 + log m    x = 2ⁿ m,  √½ ≤ m < √2
    sin x = ± sin r, ± cos r  n = round(x / ½π),  r = x − n ½π, by n mod 4

The multiples are subtracted in parts, of which the first leaves an exact rest, and the functions of r and m
are polynomials with the least relative error. No vector function of the libraries is as fast and at most
2 ulp off. Sine and cosine need fused multiplications; from `BOUND` on the C library computes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir

BOUND = 2.0**17
PRINTED = {"exp": 0.0, "log": 0.0, "sin": BOUND, "cos": BOUND}
"""The functions, with the bound of `VectorFunction`."""
NEEDS_FMA = ("sin", "cos")

_EXP = (
    0.4999999305049199,
    0.16666514789117165,
    0.041668456833100255,
    0.008369419043613985,
    0.0013813142368161826,
)
_LOG = (
    0.3333333170969444,
    -0.25000821056247136,
    0.20001226667337874,
    -0.16623356478240178,
    0.14201762470455953,
    -0.13160195067720348,
    0.12761550337858923,
    -0.07634429838337278,
)
_SINE = (-0.1666665386339331, 0.008332113029934899, -0.00019508740167102395)
_COSINE = (0.041666644367293226, -0.0013887251465514046, 2.4425679674522783e-05)
_LN_2 = (0.693145751953125, 1.4286068203094173e-06)
_HALF_PI = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)
_ROUND = 1.5 * 2.0**23
"""Added to a number and subtracted again it rounds to an integer, which the last bits then hold."""
_EXP_ENDS = (-104.0, 89.0)
"""Beyond, the result is 0 or infinite."""
_SMALLEST, _MANTISSA = 2.0**-126, 23
_ROOT_OF_HALF = 0x3F3504F3
_F32, _I32 = ir.FloatType(), ir.IntType(32)


class Printer:
    """Prints functions of vectors; `muladd` is LLVM's, of as many numbers."""

    def __init__(self, b: ir.IRBuilder, width: int, muladd: ir.Function) -> None:
        self.b, self.width, self.muladd = b, width, muladd
        self.floats, self.integers = ir.VectorType(_F32, width), ir.VectorType(_I32, width)

    def emit(self, op: str, x: ir.Value) -> ir.Value:
        """Return a function of a vector."""
        if op == "exp":
            return self.exp(x)
        return self.log(x) if op == "log" else self.sine(x, turns=int(op == "cos"))

    def all(self, number: float) -> ir.Constant:
        """Return a vector full of a number."""
        return ir.Constant(self.floats, [number] * self.width)

    def whole(self, number: int) -> ir.Constant:
        """Return a vector full of an integer."""
        return ir.Constant(self.integers, [number] * self.width)

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """Return x y + z, rounded once where the processor does so."""
        return self.b.call(self.muladd, [x, y, z])

    def polynomial(self, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
        """Return a polynomial, of which the constant comes first."""
        total: ir.Value = self.all(coefficients[-1])
        for c in coefficients[-2::-1]:
            total = self.fma(total, x, self.all(c))
        return total

    def reduced(
        self, x: ir.Value, parts: Sequence[float], inverse: float
    ) -> tuple[ir.Value, ir.Value]:
        """Return x without the nearest multiple of a number, and how many that are, as last bits."""
        rounded = self.fma(x, self.all(inverse), self.all(_ROUND))
        n = self.b.fsub(rounded, self.all(_ROUND))
        for part in parts:
            x = self.fma(n, self.all(-part), x)
        return x, self.b.bitcast(rounded, self.integers)

    def exp(self, x: ir.Value) -> ir.Value:
        """Return the exponential."""
        b, (low, high) = self.b, map(self.all, _EXP_ENDS)
        x = b.select(b.fcmp_ordered("<", x, low), low, x)  # NaN stays
        x = b.select(b.fcmp_ordered(">", x, high), high, x)
        r, rounded = self.reduced(x, _LN_2, 1 / math.log(2))
        p = self.fma(b.fmul(r, r), self.polynomial(r, _EXP), r)
        result = b.fadd(p, self.all(1.0))
        # 2ⁿ may have no float32 where the result has one, so it is 2ᵏ 2ⁿ⁻ᵏ with k = ⌊n/2⌋, as exponents
        n = b.shl(rounded, self.whole(_MANTISSA))
        k = b.and_(b.shl(rounded, self.whole(_MANTISSA - 1)), self.whole(-(2**_MANTISSA)))
        for part in (k, b.sub(n, k)):
            scale = b.add(part, self.whole(127 << _MANTISSA))
            result = b.fmul(result, b.bitcast(scale, self.floats))
        return result

    def log(self, x: ir.Value) -> ir.Value:
        """Return the natural logarithm."""
        b = self.b
        below = b.fcmp_ordered("<", x, self.all(_SMALLEST))
        normal = b.select(below, b.fmul(x, self.all(2.0**_MANTISSA)), x)
        bits = b.bitcast(normal, self.integers)
        n = b.ashr(b.sub(bits, self.whole(_ROOT_OF_HALF)), self.whole(_MANTISSA))
        m = b.bitcast(b.sub(bits, b.shl(n, self.whole(_MANTISSA))), self.floats)
        exponent = b.sitofp(n, self.floats)
        exponent = b.select(below, b.fsub(exponent, self.all(float(_MANTISSA))), exponent)
        f = b.fsub(m, self.all(1.0))
        square = b.fmul(f, f)
        y = b.fmul(b.fmul(f, square), self.polynomial(f, _LOG))
        y = self.fma(exponent, self.all(_LN_2[1]), y)
        y = b.fadd(self.fma(square, self.all(-0.5), y), f)
        y = self.fma(exponent, self.all(_LN_2[0]), y)
        y = b.select(b.fcmp_ordered("<", x, self.all(math.inf)), y, x)  # infinity and NaN stay
        y = b.select(b.fcmp_ordered("<", x, self.all(0.0)), self.all(math.nan), y)
        return b.select(b.fcmp_ordered("==", x, self.all(0.0)), self.all(-math.inf), y)

    def sine(self, x: ir.Value, turns: int) -> ir.Value:
        """Return sin(x + turns·π/2)."""
        b = self.b
        r, rounded = self.reduced(x, _HALF_PI, 2 / math.pi)
        z = b.fmul(r, r)
        sine = self.fma(r, b.fmul(z, self.polynomial(z, _SINE)), r)
        cosine = self.fma(z, self.all(-0.5), self.all(1.0))
        cosine = self.fma(b.fmul(z, z), self.polynomial(z, _COSINE), cosine)
        quarter = b.add(rounded, self.whole(turns))
        odd = b.icmp_signed("!=", b.and_(quarter, self.whole(1)), self.whole(0))
        sign = b.shl(b.and_(quarter, self.whole(2)), self.whole(30))
        chosen = b.bitcast(b.select(odd, cosine, sine), self.integers)
        result = b.bitcast(b.xor(chosen, sign), self.floats)
        if turns:
            return result
        return b.select(b.fcmp_ordered("==", x, self.all(0.0)), x, result)  # −0 stays
