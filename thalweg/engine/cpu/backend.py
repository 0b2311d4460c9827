"""The fused engine as the plan of a step knows it: what kernels can step, and the batches that they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from thalweg.engine.cohort import Cohort
from thalweg.engine.cpu.available import fused_problem
from thalweg.engine.member import Member
from thalweg.engine.program.program import Program
from thalweg.engine.storage import PLAIN, is_dense

if TYPE_CHECKING:
    from thalweg.engine.cpu.batch import FusedBatch

FUSED_DTYPES = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
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
        return fused_dtypes(member)

    def refusal(self, member: Member) -> str | None:
        """Return why a kernel cannot take a member, or None."""
        return fused_refusal(member)

    def batch(self, cohort: Cohort, kind: tuple[str, ...], positions: Sequence[int]) -> FusedBatch:
        """Return a batch of members with these dtypes."""
        from thalweg.engine.cpu.batch import FusedBatch  # needs llvmlite, which may be missing

        members = [cohort.members[k] for k in positions]
        return FusedBatch(
            cohort.program, kind, members, [cohort.row_of[k] for k in positions], cohort.table
        )


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


def fused_dtypes(member: Member) -> tuple[str, ...] | None:
    """Return the dtypes of a member's slots if a kernel can take it, otherwise None."""
    if fused_refusal(member) is not None:
        return None
    tensors = (member.param, *member.states)
    return tuple(FUSED_DTYPES[d] for d in (member.grad_dtype, *(x.dtype for x in tensors)))


def fused_refusal(member: Member) -> str | None:
    """Return why a kernel cannot take a member, or None."""
    param = member.param
    tensors = [param, *member.states]
    dtypes = [member.grad_dtype, *(x.dtype for x in tensors)]
    if any(type(x) not in PLAIN for x in tensors) or not member.grad_is_plain:
        return "a subclass of tensors"
    if any(x.device.type != "cpu" for x in tensors):
        return f"on {next(x.device.type for x in tensors if x.device.type != 'cpu')}"
    if any(x.layout is not torch.strided for x in tensors):
        return "a sparse tensor"
    if any(d not in FUSED_DTYPES for d in dtypes):
        return str(next(d for d in dtypes if d not in FUSED_DTYPES)).removeprefix("torch.")
    if any(x.shape != param.shape or x.is_complex() != param.is_complex() for x in tensors):
        return "states of another kind than the parameter"
    if any(x.is_conj() or x.is_neg() for x in tensors):
        return "a conjugated or negated view"
    if not is_dense(param):
        return "elements with gaps between them"
    if not all(_same_order(x, param) for x in tensors):
        return "states in another order in memory than the parameter"
    if member.program.by_unit and not _is_first_outermost(param):
        return "units that are no pieces of memory"
    return None


def _is_first_outermost(x: Tensor) -> bool:
    """Whether each slice along the first dimension of a dense tensor is one piece of memory."""
    return x.ndim < 2 or x.shape[0] < 2 or x.stride(0) * x.shape[0] == x.numel()


def _same_order(x: Tensor, param: Tensor) -> bool:
    """Whether two tensors of one shape, one of them dense, store their elements in the same order."""
    if x.is_contiguous() and param.is_contiguous():
        return True
    return x.stride() == param.stride()
