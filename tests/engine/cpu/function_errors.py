"""How far functions of vectors are from the true values, and how long they take.

True values of float32 come from float64, which is off by less than a millionth of an ulp of float32; those
of float64 from mpmath. `function_table.py` prints the table of these figures.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import mpmath
import numpy as np
import scipy.special

from thalweg.engine.cpu.native import _engine, _load
from thalweg.engine.cpu.processor import has_feature, processor, target_machine
from thalweg.engine.program.ops import TRANSCENDENTAL

Array = np.ndarray[Any, Any]
ARITY = {**dict.fromkeys(TRANSCENDENTAL, 1), **dict.fromkeys(("pow", "atan2", "hypot"), 2)}
MOST = 2.0
"""The greatest error in ulp with which a function is taken."""
NUMPY_NAMES = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "pow": "power",
}
EDGES = (
    0.0, 1.0, 0.5, 2.0, 3.0, 1e-3, 1e-10, 0.25, 1 / 3, 0.3, 0.7, 0.9, 1.1, 1.5, 2.5, 5.0, 10.0, 17.0, 20.0,
    40.0, 88.0, 88.72, 89.0, 100.0, 104.0, 150.0, 700.0, 709.78, 710.0, 745.0, 746.0, 1e4, 1e10, 1e30,
    np.pi / 4, np.pi / 2, np.pi, 2 * np.pi, np.e, 1e5 * np.pi, 11.0, 355.0, 33, 6.3, 9.2, 13.7, 26.5, 27.3,
)  # fmt: skip


class Candidate(NamedTuple):
    """A function of a vector that a process may have; one of width 1 is the C library's, of a number."""

    op: str
    dtype: str
    symbol: str
    width: int


def candidates(op: str, dtype: str) -> Iterator[Candidate]:
    """Return the functions of the processor that is compiled for: those of SLEEF, and that of libmvec."""
    wide = has_feature(processor(), "avx2") and has_feature(processor(), "fma")
    single = dtype == "float32"
    width = (256 if wide else 128) // (32 if single else 64)
    for accuracy in ("u05", "u10", "u15", "u35"):
        kind = f"{'f' if single else 'd'}{width}_{accuracy}{'avx2' if wide else 'sse4'}"
        yield Candidate(op, dtype, f"Sleef_{op}{kind}", width)
    vector = f"_ZGV{'d' if wide else 'b'}N{width}{'v' * ARITY[op]}"
    yield Candidate(op, dtype, f"{vector}_{op}{'f' if single else ''}", width)


def points(dtype: str, count: int, seed: int = 0) -> Array:
    """Return numbers of every size, more of them where functions change, and the edges."""
    rng = np.random.default_rng(seed)
    real, bits = np.dtype(dtype).type, {"float32": np.uint32, "float64": np.uint64}[dtype]
    every = rng.integers(0, np.iinfo(bits).max, count, dtype=bits).view(real)
    parts = [every.astype(real)]
    scales = (1.0, 1.0, 10.0, 100.0, 1000.0)
    parts += [(scale * rng.uniform(-1, 1, count)).astype(real) for scale in scales]
    parts.append((1 + 0.01 * rng.standard_normal(count)).astype(real))
    parts.append(
        np.exp(rng.uniform(-30, 10, count) * 1.0).astype(real) * rng.choice([-1, 1], count)
    )
    multiples = rng.integers(-2000, 2000, count) * (np.pi / 4)
    parts.append(multiples.astype(real))
    info = np.finfo(real)
    edge = [*EDGES, info.max, info.tiny, info.smallest_subnormal, info.tiny / 8, info.eps, np.inf]
    near = np.asarray(edge, dtype=real)
    with np.errstate(all="ignore"):
        near = np.concatenate([near, np.nextafter(near, real(0)), np.nextafter(near, real(np.inf))])
    parts += [near, -near, np.asarray([np.nan], dtype=real)]
    with np.errstate(all="ignore"):  # signalling NaN
        return np.concatenate(parts).astype(real)


def pairs(op: str, dtype: str, count: int, seed: int = 0) -> tuple[Array, Array]:
    """Return pairs of numbers, of which powers have a size that numbers can have."""
    x, y = points(dtype, count, seed), points(dtype, count, seed + 1)
    real = x.dtype.type
    rng = np.random.default_rng(seed)
    rng.shuffle(y)
    edge = points(dtype, 0)
    a, b = (each.ravel() for each in np.meshgrid(edge[:: 1 + len(edge) // 60], edge[::4]))
    if op == "pow":
        with np.errstate(all="ignore"):
            size = np.abs(x)
            most = np.log(np.finfo(real).max) / np.log(size, dtype=np.float64)
            y = np.where(np.arange(len(y)) % 8 == 0, y, (rng.uniform(-1, 1, len(y)) * most))
            x = np.where(np.arange(len(y)) % 8 == 1, x, size)
    else:
        with np.errstate(all="ignore"):
            y = np.where(np.arange(len(y)) % 2 == 0, y, x * rng.uniform(-3, 3, len(y)).astype(real))
    return np.concatenate([x, a]).astype(real), np.concatenate([y, b]).astype(real)


def truth(op: str, operands: tuple[Array, ...]) -> Array:
    """Return the values of a function in float64."""
    function = {"erf": scipy.special.erf, "erfc": np.vectorize(math.erfc, otypes=[float])}.get(op)
    function = function or getattr(np, NUMPY_NAMES.get(op, op))
    with np.errstate(all="ignore"):
        return np.asarray(function(*(x.astype(np.float64) for x in operands)))


def ulps_of_float32(actual: Array, true: Array) -> Array:
    """Return the errors in units of the last place; infinite where NaN, infinity or a zero is wrong."""
    top = 2.0**128
    with np.errstate(all="ignore"):
        rounded = true.astype(np.float32)
        size = np.maximum(np.abs(true), 2.0**-126)
        unit = 2.0 ** (np.floor(np.log2(np.minimum(size, top / 2))) - 23)
        a = np.clip(actual.astype(np.float64), -top, top)
        t = np.where(np.isinf(rounded) & np.isfinite(true), np.sign(true) * top, true)
        errors = np.abs(a - np.clip(t, -top, top)) / unit
    wrong = np.isnan(actual) != np.isnan(true)
    wrong |= (actual == 0) & (true == 0) & (np.signbit(actual) != np.signbit(true))
    errors[np.isnan(actual) & np.isnan(true)] = 0.0
    errors[wrong] = np.inf
    return errors


MPMATH: dict[str, Callable[..., Any]] = {
    "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "log10": lambda x: mpmath.log(x) / mpmath.log(10),
    "exp2": lambda x: mpmath.power(2, x),
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
    "asinh": lambda x: mpmath.sign(x) * mpmath.asinh(abs(x)),
    "pow": mpmath.power,
}


def ulps_of_float64(op: str, actual: Array, operands: tuple[Array, ...]) -> Array:
    """Return the errors in units of the last place: beside mpmath, or, where no digits count, NumPy."""
    rough = truth(op, operands)
    function = MPMATH.get(op) or getattr(mpmath, op)
    errors = np.zeros(len(actual))
    with mpmath.workprec(140):
        for k, (a, r) in enumerate(zip(actual.tolist(), rough.tolist(), strict=True)):
            given = [float(x[k]) for x in operands]
            if not all(map(math.isfinite, (a, r, *given))) or r == 0 or 0 in given:
                errors[k] = 0.0 if _alike(a, r) else math.inf
                continue
            true = function(*map(mpmath.mpf, given))
            exponent = max(mpmath.frexp(abs(true))[1] - 53, -1074)
            errors[k] = float(abs(mpmath.mpf(a) - true) / mpmath.ldexp(1, int(exponent)))
    return errors


def _alike(a: float, b: float) -> bool:
    """Whether two numbers are the same, or neighbours at the ends of the range."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    signs = math.copysign(1.0, a) == math.copysign(1.0, b)
    top, bottom = sys.float_info.max * (1 - 2**-52), 1e-323
    near = min(abs(a), abs(b)) >= top or max(abs(a), abs(b)) <= bottom
    return signs and (a == b or near or abs(a - b) <= 2 * math.ulp(b))


_COUNT = itertools.count()


@cache
def loop(candidate: Candidate) -> Callable[..., None]:
    """Return a compiled loop that calls a vector function: (addresses of two operands and result, length)."""
    element = {"float32": "float", "float64": "double"}[candidate.dtype]
    vector = f"<{candidate.width} x {element}>" if candidate.width > 1 else element
    arity = ARITY[candidate.op]
    name = f"loop_{candidate.symbol}_{next(_COUNT)}"
    loads = "\n".join(
        f"  %p{k} = getelementptr {element}, ptr %x{k}, i64 %i\n"
        f"  %v{k} = load {vector}, ptr %p{k}, align 4"
        for k in range(arity)
    )
    given = ", ".join(f"{vector} %v{k}" for k in range(arity))
    text = f"""
declare {vector} @"{candidate.symbol}"({", ".join([vector] * arity)})
define void @"{name}"(ptr %x0, ptr %x1, ptr %y, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%j, %loop]
{loads}
  %t = call {vector} @"{candidate.symbol}"({given})
  %py = getelementptr {element}, ptr %y, i64 %i
  store {vector} %t, ptr %py, align 4
  %j = add i64 %i, {candidate.width}
  %c = icmp ult i64 %j, %n
  br i1 %c, label %loop, label %out
out:
  ret void
}}
"""
    _engine()
    chosen = processor()
    module = llvm.parse_assembly(text)
    module.triple = chosen.triple
    kernel = _load(target_machine(chosen).emit_object(module), name)
    pointer = ctypes.c_void_p
    return ctypes.CFUNCTYPE(None, pointer, pointer, pointer, ctypes.c_int64)(kernel.address)


def run(candidate: Candidate, operands: tuple[Array, ...]) -> Callable[[], Array]:
    """Return what computes a vector function of arrays, whose length is a multiple of 16."""
    out, call = np.empty_like(operands[0]), loop(candidate)

    def computed() -> Array:
        call(operands[0].ctypes.data, operands[-1].ctypes.data, out.ctypes.data, len(out))
        return out

    return computed


def measure(candidate: Candidate, count: int, kind: str = "") -> tuple[float, str]:
    """Return the greatest error in ulp, and where it is: first everywhere, then around the worst numbers.

    As "wide" a function of float64 is given numbers of float32, and its result is rounded to such a one.
    """
    op, dtype = candidate.op, "float32" if kind == "wide" else candidate.dtype
    operands = (points(dtype, count),) if ARITY[op] == 1 else pairs(op, dtype, count)
    rng = np.random.default_rng(2)
    greatest, where = 0.0, ""
    for spread in (1e-2, 1e-4, 0.0):
        operands = tuple(np.ascontiguousarray(x[: len(x) // 16 * 16]) for x in operands)
        out, errors = errors_of(candidate, operands)
        worst = np.argsort(errors)[-20:]
        if errors[worst[-1]] > greatest:
            greatest = float(errors[worst[-1]])
            at = ", ".join(repr(float(x[worst[-1]])) for x in operands)
            where = f"({at}) -> {float(out[worst[-1]])!r}"
        chosen = rng.choice(worst, 2 * count + 16)
        with np.errstate(all="ignore"):
            operands = tuple(
                (x[chosen] * (1 + spread * rng.uniform(-1, 1, len(chosen)))).astype(dtype)
                for x in operands
            )
    return greatest, where


def errors_of(candidate: Candidate, operands: tuple[Array, ...]) -> tuple[Array, Array]:
    """Return what a function makes of operands, and its errors in ulp of their dtype."""
    op, dtype = candidate.op, operands[0].dtype
    with np.errstate(all="ignore"):
        out = run(candidate, tuple(x.astype(candidate.dtype) for x in operands))().astype(dtype)
    if dtype == np.float32:
        return out, ulps_of_float32(out, truth(op, operands))
    return out, ulps_of_float64(op, out, operands)


NEIGHBOURS = (0.0, -0.0, 1e-45, 1e-310, 1.0, 14.9, 130.0, 1e6, 1e30, 3e38, np.inf, -np.inf, np.nan)


def first_beside_others(candidate: Candidate, bound: float) -> float | None:
    """Return a number whose result depends on what else is in its vector, or None.

    With a bound only smaller numbers count, as a kernel calls the function with no others.
    """
    op, dtype, width = candidate.op, candidate.dtype, candidate.width
    x, y = pairs(op, dtype, 20) if ARITY[op] == 2 else (points(dtype, 20),) * 2
    x, y = (z[:: 1 + len(z) // 500] for z in (x, y))
    with np.errstate(all="ignore"):
        others = np.asarray(NEIGHBOURS).astype(dtype)
    if bound:
        x, y = (z[np.abs(x) < bound] for z in (x, y))
        others = others[np.abs(others) < bound]

    def results(columns: list[Array]) -> Array:
        rows = [np.ascontiguousarray(np.tile(c, (16, 1))) for c in columns]  # whole vectors
        flat = run(candidate, tuple(r.ravel() for r in rows[: ARITY[op]]))()
        return flat.reshape(rows[0].shape)[: len(columns[0])].copy()

    alone = results([np.repeat(z[:, None], width, axis=1) for z in (x, y)])[:, 0]
    for other, lane in itertools.product(others, range(width)):
        columns = []
        for z in (x, y):
            column = np.full((len(z), width), other, dtype=dtype)
            column[:, lane] = z
            columns.append(column)
        found = results(columns)[:, lane]
        differ = (found.view(f"i{found.itemsize}") != alone.view(f"i{found.itemsize}")) & ~(
            np.isnan(found) & np.isnan(alone)
        )
        if differ.any():
            return float(x[np.flatnonzero(differ)[0]])
    return None


def nanoseconds(candidate: Candidate) -> float:
    """Return how long an element takes, of ordinary numbers that fit into the first cache."""
    rng = np.random.default_rng(0)
    dtype = np.dtype(candidate.dtype)
    spread = 0.9 * rng.uniform(-1, 1, 8192)
    if candidate.op in ("log", "log2", "log10", "pow"):
        spread = np.abs(spread) * 3 + 1e-3
    elif candidate.op == "acosh":
        spread = np.abs(spread) + 1.1
    x = spread.astype(dtype)
    call = run(candidate, (x,) * ARITY[candidate.op])
    best = np.inf
    for _ in range(100):
        start = time.perf_counter_ns()
        call()
        best = min(best, (time.perf_counter_ns() - start) / len(x))
    return float(best)
