"""Which operations of the vocabulary are instructions, and which are calls of functions."""

from __future__ import annotations

from thalweg.engine.program.ops import OPS, TRANSCENDENTAL

INSTRUCTIONS = {
    "sqrt": "llvm.sqrt",
    "abs": "llvm.fabs",
    "floor": "llvm.floor",
    "ceil": "llvm.ceil",
    "trunc": "llvm.trunc",
    "round": "llvm.rint",
    "copysign": "llvm.copysign",
    "maximum": "llvm.maximum",
    "minimum": "llvm.minimum",
}
"""Intrinsics of LLVM that are instructions, or a few of them."""
CALLED = (*TRANSCENDENTAL, "pow", "atan2", "hypot")
"""Functions of a vector, or of the C library where there is none."""
REMAINDER = ("fmod", "mod", "floordiv")
"""Operations with LLVM's `frem`, which becomes a call of the C library's fmod."""


def is_simple(op: str) -> bool:
    """Whether an operation is a few instructions, which need no function of a library."""
    return op in OPS and op not in CALLED and op not in REMAINDER
