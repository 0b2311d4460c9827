"""The fused engine as the plan of a step knows it: what kernels can step, and the batches that they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import torch

from thalweg.engine.cohort import Cohort
from thalweg.engine.cpu.available import fused_problem
from thalweg.engine.cpu.compiled import CompiledProgram, FusedPass
from thalweg.engine.cpu.factored.compiled import FactoredKernels, VectorKernel
from thalweg.engine.cpu.factored.program import Factored, entries_of, factored, reads_of
from thalweg.engine.dense import dense_refusal, slot_dtypes
from thalweg.engine.member import Member
from thalweg.engine.program.printing import Layout, ReducedFunction, layout_of
from thalweg.engine.program.program import LEAVES, Level, Program

if TYPE_CHECKING:
    from thalweg.engine.cpu.batch import FusedBatch

FUSED_DTYPES = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
    torch.int16: "int16",
    torch.int8: "int8",
    torch.complex64: "float32",
    torch.complex128: "float64",
}


class Fused:
    """Steps dense tensors on the CPU by compiled kernels, one call a pass for all of one set of dtypes."""

    name = "fused"
    alone = True

    def problem(self, program: Program) -> str | None:
        """Return why a program cannot be fused, or None."""
        return program_problem(program)

    def kind(self, member: Member) -> tuple[str, ...] | None:
        """Return the dtypes of a member's slots if a kernel can take it."""
        if member.param.device.type != "cpu" or _matrix_refusal(member) is not None:
            return None
        return slot_dtypes(member, FUSED_DTYPES)

    def refusal(self, member: Member) -> str | None:
        """Return why a kernel cannot take a member, or None."""
        device = member.param.device.type
        if device != "cpu":
            return f"on {device}"
        return dense_refusal(member, FUSED_DTYPES) or _matrix_refusal(member)

    def batch(self, cohort: Cohort, kind: tuple[str, ...], positions: Sequence[int]) -> FusedBatch:
        """Return a batch of members with these dtypes."""
        from thalweg.engine.cpu.batch import FusedBatch  # needs llvmlite, which may be missing

        members = [cohort.members[k] for k in positions]
        rows = [cohort.row_of[k] for k in positions]
        return FusedBatch(compiled(cohort.program, kind), kind, members, rows, cohort.table)


def _matrix_refusal(member: Member) -> str | None:
    """Return why a member cannot be put into a stack of matrices where it must, or None."""
    if not member.program.sees_matrices:
        return None
    if member.param.is_complex():
        return "a complex matrix"
    return None if member.param.is_contiguous() else "a matrix in another order in memory"


@cache
def compiled(program: Program, dtypes: tuple[str, ...]) -> CompiledProgram:
    """Return the compiled kernels of a program for slots of these dtypes."""
    made = factored(program)
    if made is None:
        return CompiledProgram(program, _passes(program, dtypes, None))
    passes = _passes(made.program, dtypes, made)
    return CompiledProgram(made.program, passes, _vectors(made, dtypes))


def _passes(
    program: Program, dtypes: tuple[str, ...], made: Factored | None
) -> tuple[FusedPass, ...]:
    from thalweg.engine.cpu.factored.passes import print_tiles
    from thalweg.engine.cpu.kernel import print_kernel
    from thalweg.engine.cpu.native import kernel

    found = []
    for stage in range(program.stages + 1):
        layout = layout_of(program, stage, dtypes)
        if made is None:
            text = print_kernel(program, stage, layout, "step")
        else:  # such passes find numbers of rows and columns in a table of their own
            layout = replace(layout, dtypes=dtypes, reads=(), writes=())
            text = print_tiles(made, stage, layout, "step")
        read = layout.reduced
        found.append(
            FusedPass(
                stage,
                kernel(text, "step"),
                layout,
                ReducedFunction(program, read),
                len(read),
                () if stage == program.stages else program.reductions(stage),
                all(v.op in LEAVES and v.op != "number" and v.data != "all" for v in read),
            )
        )
    return tuple(found)


def _vectors(made: Factored, dtypes: tuple[str, ...]) -> FactoredKernels:
    from thalweg.engine.cpu.factored.vectors import print_vectors, print_writing
    from thalweg.engine.cpu.native import kernel

    program, wide = made.program, "float64" if "float64" in dtypes else "float32"
    found: list[VectorKernel | None] = []
    for stage in range(program.stages + 1):
        work = made.work(stage)
        if not (work.means or work.kept):
            found.append(None)
            continue
        read = tuple(v for v in reads_of(work) if v.level == Level.REDUCED)
        text = print_vectors(made, stage, Layout((wide,), program.host_reads, read), "vectors")
        reduced = ReducedFunction(program, read)
        found.append(VectorKernel(kernel(text, "vectors"), reduced, len(read), entries_of(work)))
    text = print_writing(made, wide, "write")
    return FactoredKernels(made, found, kernel(text, "write") if made.states else None)


def compilations() -> int:
    """Return how many kernels this process has compiled, or loaded from the cache, so far."""
    if fused_problem() is not None:
        return 0
    from thalweg.engine.cpu.native import compiled_kernels

    return compiled_kernels()


def program_problem(program: Program) -> str | None:
    """Return why a program cannot be fused, or None."""
    problem = fused_problem()
    if problem is None:
        from thalweg.engine.cpu.kernel import needed_symbols, unsupported
        from thalweg.engine.cpu.native import has_symbol

        foreign = unsupported(program)
        missing = [name for name in needed_symbols(program) if not has_symbol(name)]
        if foreign:
            problem = f"no kernel can run {', '.join(dict.fromkeys(foreign))}"
        elif missing:
            problem = f"the C library lacks {', '.join(missing)}"
    return problem
