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

from thalweg.engine.cpu.processor import Processor, has_feature
from thalweg.engine.cpu.vector_table import AVX2, SSE, Measured


class VectorFunction(NamedTuple):
    """A function of `width` numbers of a dtype at once."""

    symbol: str
    dtype: str
    width: int


def vector_function(op: str, dtype: str, chosen: Processor) -> VectorFunction | None:
    """Return the fastest function for an operation; None where this process has none.

    The function returned for float32 may be one of float64, to which numbers are extended.
    """
    bits, table = _table(chosen)
    for kind, size in ((dtype, 32 if dtype == "float32" else 64), ("float64", 64)):
        for measured in table.get((op, kind), ()):
            if find(measured.symbol):
                return VectorFunction(measured.symbol, kind, bits // size)
    return None


def _table(chosen: Processor) -> tuple[int, dict[tuple[str, str], tuple[Measured, ...]]]:
    """Return the width of the vectors of a processor, and the functions that take them.

    AVX-512 is left aside: LLVM prefers vectors of 256 bits on most processors that have it.
    """
    if has_feature(chosen, "avx2") and has_feature(chosen, "fma"):
        return 256, AVX2
    return 128, SSE


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
