"""The compiled kernels of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.engine.cpu.factored.compiled import FactoredKernels
from thalweg.engine.cpu.threads import Kernel
from thalweg.engine.program.printing import Layout, ReducedFunction
from thalweg.engine.program.program import Program, Value


@dataclass(frozen=True)
class FusedPass:
    """One pass over the data: its kernel and what it reads and reduces."""

    stage: int
    kernel: Kernel
    layout: Layout
    reduced: ReducedFunction
    width: int
    reductions: tuple[Value, ...]
    fixed: bool
    """Whether the scalars of tensors that it reads, such as their places, are the same at every step."""


@dataclass(frozen=True)
class CompiledProgram:
    """The kernels of a program for slots of some dtypes.

    `program` is what they run: a factored program differs from the one that it was made of.
    """

    program: Program
    passes: Sequence[FusedPass]
    factored: FactoredKernels | None = None
