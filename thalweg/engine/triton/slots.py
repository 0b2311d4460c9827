"""The tensors that a batch goes through by their addresses, on a GPU: looked at again at every step.

Each look is a loop in C over all tensors (`map` of a method or an attribute), a few tenths of a microsecond a
tensor; nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.dense import is_flagged, reordered
from thalweg.engine.member import Member
from thalweg.engine.storage import (
    PLAIN,
    first_without_memory,
    holds_its_numbers,
    memory_problem,
)
from thalweg.errors import EngineError

_PLAIN = frozenset(PLAIN)
_strided = frozenset((torch.strided,))
_grad, _dtype, _device, _layout = map(attrgetter, ("grad", "dtype", "device", "layout"))


def _stored(tensors: Sequence[Any]) -> list[Any] | None:
    """Return how tensors are stored; None where one has no memory to point to."""
    if not _PLAIN.issuperset(map(type, tensors)) or not _strided.issuperset(map(_layout, tensors)):
        return None
    looks = (_dtype, _device, Tensor.size, Tensor.stride)
    return [list(map(look, tensors)) for look in looks]


class BatchSlots:
    """Gradients, parameters and states of the members of a batch."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._sparse = any(m.grad_layout is not torch.strided for m in members)
        self.params = [m.param for m in members]
        states = range(len(members[0].names))
        self._dicts = [m.state for _ in states for m in members]
        self._names = [m.names[k] for k in states for m in members]
        self._number_dicts = [m.state for m in members for _ in m.kept]
        self._number_names = [name for m in members for name in m.kept]
        self._numbers = list(map(dict.get, self._number_dicts, self._number_names))
        self.written = self._found()
        self._written_like = _stored(self.written)
        self._written_bytes = [x.nbytes for x in self.written]
        self._grad_bytes = [m.param.numel() * m.grad_dtype.itemsize for m in members]
        self._grads_like = self._expected_grads()
        # complex and real tensors may be in one batch
        self._some_are_complex = any(p.is_complex() for p in self.params)
        self._odd = [k for k, p in enumerate(self.params) if p.is_complex() or p.numel() == 1]
        self.addresses: list[int] = []
        """Of the parameters, then of each state."""
        self.moved = False

    def _found(self) -> list[Any]:
        return [*self.params, *map(dict.get, self._dicts, self._names)]

    def _expected_grads(self) -> list[Any]:
        kinds = [m.grad_dtype for m in self._members]
        found = _stored(self.params)
        assert found is not None
        return [kinds, *found[1:]]

    def hold(self) -> bool:
        """Whether parameters and states are stored as they were, and the numbers are the same objects.

        Raises:
            EngineError: a storage that has moved is too small for its tensor.
        """
        numbers = map(dict.get, self._number_dicts, self._number_names)
        if not all(map(is_, numbers, self._numbers)):
            return False
        written = self._found()
        if _stored(written) != self._written_like:
            return False
        if self._some_are_complex and any(map(is_flagged, written)):
            return False
        addresses = list(map(Tensor.data_ptr, written))
        if addresses != self.addresses:
            small = first_without_memory(written, self._written_bytes)
            if small is not None:
                raise EngineError(memory_problem(written[small], self._called(small)))
            self.addresses, self.moved = addresses, True
        self.written = written
        return True

    def _called(self, k: int) -> str:
        slot, k = divmod(k, len(self.params))
        return self._members[k].slot_called(slot)

    def gradients(self) -> list[Tensor] | None:
        """Return the gradients, stored as their parameters are; None where one is of another kind.

        Raises:
            EngineError: the storage of a gradient is too small for it.
        """
        grads = list(map(_grad, self.params))
        if not self._are_in_order(grads):
            for grad, member in zip(grads, self._members, strict=True):
                if not self._can_be_copied(grad, member):
                    return None
            grads = [reordered(g, p) for g, p in zip(grads, self.params, strict=True)]
        self._check_memory(grads)
        return grads

    def _are_in_order(self, grads: list[Any]) -> bool:
        return _stored(grads) == self._grads_like and not any(
            is_flagged(grads[k]) for k in self._odd
        )

    def _can_be_copied(self, grad: Any, member: Member) -> bool:
        param = member.param
        if type(grad) not in PLAIN or grad.device != param.device or grad.shape != param.shape:
            return False
        if grad.dtype != member.grad_dtype or not (self._sparse or grad.layout is torch.strided):
            return False
        if not holds_its_numbers(grad):
            raise EngineError(memory_problem(grad, member.gradient_called))
        return True

    def _check_memory(self, grads: list[Tensor]) -> None:
        small = first_without_memory(grads, self._grad_bytes)
        if small is not None:
            raise EngineError(memory_problem(grads[small], self._members[small].gradient_called))
