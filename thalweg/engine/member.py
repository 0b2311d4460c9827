"""A member of a step: one parameter, its states, its gradient's kind, and whether a kernel can take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.program.program import Program
from thalweg.engine.rows import Block
from thalweg.engine.storage import PLAIN, holds_its_numbers, memory_problem
from thalweg.errors import EngineError

FUSED_DTYPES = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
    torch.complex64: "float32",
    torch.complex128: "float64",
}


def called(ordinal: int, name: str | None) -> str:
    """Return what a parameter is called in a message."""
    return f"parameter {ordinal}" + (f" ({name})" if name else "")


@dataclass(frozen=True, eq=False)
class Member:
    """One parameter of a step: the kind of its gradient, its states, and its place."""

    param: Tensor
    grad_dtype: torch.dtype
    grad_layout: torch.layout
    state: dict[str, Any]
    names: tuple[str, ...]
    """The names of its states in `state`."""
    kept: tuple[str, ...]
    """The names of its numbers in `state`: the step number, then its scalar states."""
    group: int
    program: Program
    block: Block
    line: int
    ordinal: int
    """Its place among all parameters of the optimizer."""
    name: str | None = None
    grad_is_plain: bool = True
    """Whether the gradient is no subclass of tensors, whose memory may be elsewhere."""

    @property
    def called(self) -> str:
        """What it is called in a message."""
        return called(self.ordinal, self.name)

    @property
    def states(self) -> list[Tensor]:
        """Its state tensors."""
        return [self.state[name] for name in self.names]

    @property
    def numbers(self) -> list[Tensor]:
        """Its scalar states that are computed from reductions."""
        start = 1 + len(self.program.scalar_outputs)
        return list(torch.from_numpy(self.block[self.line, start:]).unbind())


def fused_dtypes(member: Member) -> tuple[str, ...] | None:
    """Return the dtypes of a member's slots if a kernel can take it, otherwise None."""
    param, grad_dtype = member.param, member.grad_dtype
    tensors = [param, *member.states]
    plain = all(
        type(x) in PLAIN
        and x.device.type == "cpu"
        and x.layout is torch.strided
        and x.shape == param.shape
        and x.is_complex() == param.is_complex()
        and x.dtype in FUSED_DTYPES
        and not (x.is_conj() or x.is_neg())
        for x in tensors
    )
    if not plain or not member.grad_is_plain or grad_dtype not in FUSED_DTYPES:
        return None
    if not _is_dense(param):
        return None
    if not all(_same_order(x, param) for x in tensors):
        return None
    if member.program.by_unit and not _is_first_outermost(param):
        return None
    return tuple(FUSED_DTYPES[d] for d in (grad_dtype, *(x.dtype for x in tensors)))


def _is_dense(x: Tensor) -> bool:
    """Whether the elements fill their memory without gaps or overlaps, in any order of dimensions."""
    expected = 1
    sizes = [(s, n) for s, n in zip(x.stride(), x.shape, strict=True) if n != 1]
    for stride, size in sorted(sizes):
        if stride != expected:
            return x.numel() == 0
        expected *= size
    return True


def _is_first_outermost(x: Tensor) -> bool:
    """Whether each slice along the first dimension of a dense tensor is one piece of memory."""
    return x.ndim < 2 or x.shape[0] < 2 or x.stride(0) * x.shape[0] == x.numel()


def _same_order(x: Tensor, param: Tensor) -> bool:
    """Whether two tensors of one shape, one of them dense, store their elements in the same order."""
    if x.is_contiguous() and param.is_contiguous():
        return True
    return x.stride() == param.stride()


def check_member(member: Member, grad: Tensor) -> None:
    """Refuse a parameter whose own memory, or that of its states or its gradient, is gone."""
    named = [(member.called, member.param), (f"the gradient of {member.called}", grad)]
    named += [(f"the state {n!r} of {member.called}", member.state[n]) for n in member.names]
    for called, x in named:
        if not holds_its_numbers(x):
            raise EngineError(memory_problem(x, called))
