"""Functions of a vector of numbers that this process has, for kernels to call.

There are two libraries of them: libmvec, which glibc brings, and SLEEF, whose functions PyTorch's own library
exports. `vector_table.py` holds how exact and how fast each one is; a kernel takes the fastest that is found.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import torch

from thalweg.engine.cpu.functions.printed import NEEDS_FMA, PRINTED
from thalweg.engine.cpu.functions.vector_table import AVX2, SSE, Table
from thalweg.engine.cpu.processor import Processor, has_feature

PRINTED_SYMBOL = ""
"""Of a function that is printed into the kernel."""


class VectorFunction(NamedTuple):
    """A function of `width` numbers of a dtype at once."""

    symbol: str
    dtype: str
    width: int
    bound: float = 0.0
    """If not 0: where a number of this size stands in a vector, the others are computed in another way."""


def vector_function(op: str, dtype: str, chosen: Processor) -> VectorFunction | None:
    """Return the fastest function for an operation; None where this process has none.

    The function returned for float32 may be one of float64, to which numbers are extended.
    """
    functions = table(chosen)
    bits = 256 if functions is AVX2 else 128
    if is_printed(op, dtype, chosen):
        return VectorFunction(PRINTED_SYMBOL, dtype, bits // 32, PRINTED[op])
    for kind in (dtype,) if dtype == "float64" else (dtype, "wide"):
        for measured in functions.get((op, kind), ()):
            if find(measured.symbol):
                single = kind == "float32"
                width = bits // (32 if single else 64)
                own = "float32" if single else "float64"
                return VectorFunction(measured.symbol, own, width, measured.bound)
    return None


def is_printed(op: str, dtype: str, chosen: Processor) -> bool:
    """Whether a function is printed into kernels, whatever libraries there are."""
    return op in PRINTED and dtype == "float32" and (table(chosen) is AVX2 or op not in NEEDS_FMA)


def table(chosen: Processor) -> Table:
    """Return the functions whose vectors a processor has.

    AVX-512 is left aside: LLVM prefers vectors of 256 bits on most processors that have it.
    """
    fast = has_feature(chosen, "avx2") and has_feature(chosen, "fma")
    return AVX2 if fast else SSE


@cache
def find(symbol: str) -> bool:
    """Look for a function in the libraries; from then on LLVM links it."""
    for library in _libraries():
        function = getattr(library, symbol, None)
        if function is not None:
            llvm.add_symbol(symbol, ctypes.cast(function, ctypes.c_void_p).value)
            return True
    return False


@cache
def _libraries() -> tuple[Any, ...]:
    """Return the libraries there are. Elsewhere than on Linux vectors are passed in other ways."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return ()
    found = []
    for name in ("libmvec.so.1", str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")):
        try:
            found.append(ctypes.CDLL(name))
        except OSError:
            continue
    return tuple(found)
