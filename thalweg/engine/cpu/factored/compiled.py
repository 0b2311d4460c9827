"""The compiled kernels of a factored program other than its passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.engine.cpu.factored.program import Entry, Factored
from thalweg.engine.cpu.threads import Kernel
from thalweg.engine.program.printing import ReducedFunction


@dataclass(frozen=True)
class VectorKernel:
    """What a factored program computes before the pass of a stage."""

    kernel: Kernel
    reduced: ReducedFunction
    width: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class FactoredKernels:
    """What computes numbers of rows and columns before each pass, and what writes those that are states."""

    made: Factored
    vectors: Sequence[VectorKernel | None]
    writing: Kernel | None
