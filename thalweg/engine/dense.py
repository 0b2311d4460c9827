"""Which parameters a kernel goes through as rows of numbers: dense, plain, all slots in one order."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from thalweg.engine.member import Member
from thalweg.engine.storage import PLAIN


def slot_dtypes(member: Member, known: Mapping[torch.dtype, str]) -> tuple[str, ...] | None:
    """Return the dtypes of a member's slots (gradient, parameter, states), or None where no kernel takes it.

    `known` says what a kernel calls the dtypes that it takes. All slots lie on the device of the parameter.
    """
    param, grad_dtype = member.param, member.grad_dtype
    tensors = [param, *member.states]
    plain = all(
        type(x) in PLAIN
        and x.device == param.device
        and x.layout is torch.strided
        and x.shape == param.shape
        and x.is_complex() == param.is_complex()
        and x.dtype in known
        and not is_flagged(x)
        for x in tensors
    )
    if not plain or not member.grad_is_plain or grad_dtype not in known:
        return None
    if not _is_dense(param):
        return None
    if not all(_same_order(x, param) for x in tensors):
        return None
    if member.program.by_unit and not _is_first_outermost(param):
        return None
    return tuple(known[d] for d in (grad_dtype, *(x.dtype for x in tensors)))


def is_flagged(x: Tensor) -> bool:
    """Whether the numbers in memory still are to be conjugated or negated."""
    return x.is_conj() or x.is_neg()


def reordered(grad: Tensor, param: Tensor) -> Tensor:
    """Return the gradient as dense numbers in the order in which the parameter stores its own."""
    grad = grad.detach()
    if grad.layout is not torch.strided:
        grad = grad.to_dense()
    if _same_order(grad, param) and not is_flagged(grad):
        return grad
    return torch.empty_like(param, dtype=grad.dtype).copy_(grad)


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
