"""Which parameters a kernel goes through as rows of numbers: dense, plain, all slots in one order."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from thalweg.engine.member import Member
from thalweg.engine.program.formats import BLOCK
from thalweg.engine.storage import PLAIN, is_dense, unit_elements


def slot_dtypes(member: Member, known: Mapping[torch.dtype, str]) -> tuple[str, ...] | None:
    """Return the dtypes of a member's slots (gradient, parameter, states), or None where no kernel takes it.

    `known` says what a kernel calls the dtypes that it takes.
    """
    if dense_refusal(member, known) is not None:
        return None
    return tuple(known[d] for d in member.dtypes)


def dense_refusal(member: Member, known: Mapping[torch.dtype, str]) -> str | None:
    """Return why no kernel with these dtypes can take a member, or None.

    All of its tensors lie on the device of the parameter.
    """
    param = member.param
    tensors = [param, *member.states]
    if any(type(x) not in PLAIN for x in tensors) or not member.grad_is_plain:
        return "a subclass of tensors"
    if any(x.device != param.device for x in tensors):
        return "states on another device"
    if any(x.layout is not torch.strided for x in tensors):
        return "a sparse tensor"
    whole = [param.dtype, member.grad_dtype, *(x.dtype for x in member.plain_states)]
    unknown = [d for d in member.dtypes if d not in known]
    unknown += [d for d in whole if not (d.is_floating_point or d.is_complex)]
    if unknown:
        return str(unknown[0]).removeprefix("torch.")
    tensors = [param, *member.shaped]
    if any(x.shape != param.shape or x.is_complex() != param.is_complex() for x in tensors):
        return "states of another kind than the parameter"
    if any(map(is_flagged, tensors)):
        return "a conjugated or negated view, or zeros without memory"
    if not is_dense(param):
        return "elements with gaps between them"
    if not all(_same_order(x, param) for x in tensors):
        return "states in another order in memory than the parameter"
    if member.program.by_unit and not _is_first_outermost(param):
        return "units that are no pieces of memory"
    if member.coded and member.program.by_unit and unit_elements(param) % BLOCK:
        return "units that are not whole blocks of states of 8 bits"
    return None


def is_flagged(x: Tensor) -> bool:
    """Whether the numbers in memory still are to be conjugated or negated, or are zeros without memory."""
    return x.is_conj() or x.is_neg() or x._is_zerotensor()


def reordered(grad: Tensor, param: Tensor) -> Tensor:
    """Return the gradient as dense numbers in the order in which the parameter stores its own."""
    grad = grad.detach()
    if grad.layout is not torch.strided:
        grad = grad.to_dense()
    if (_same_order(grad, param) or not grad.numel()) and not is_flagged(grad):
        return grad
    return torch.empty_like(param, dtype=grad.dtype).copy_(grad)


def _is_first_outermost(x: Tensor) -> bool:
    """Whether each slice along the first dimension of a dense tensor is one piece of memory."""
    return x.ndim < 2 or x.shape[0] < 2 or x.stride(0) * x.shape[0] == x.numel()


def _same_order(x: Tensor, param: Tensor) -> bool:
    """Whether two tensors of one shape, one of them dense, store their elements in the same order."""
    if x.is_contiguous() and param.is_contiguous():
        return True
    return x.stride() == param.stride()
