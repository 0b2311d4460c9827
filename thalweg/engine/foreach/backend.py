"""The foreach engine as the plan of a step knows it: what lists can step, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.engine.cohort import Cohort
from thalweg.engine.foreach.batch import ForeachBatch
from thalweg.engine.foreach.counted import refuse_uncountable
from thalweg.engine.member import Member
from thalweg.engine.precision import REAL, computed_in
from thalweg.engine.program.program import Program
from thalweg.engine.same import same_entries
from thalweg.engine.storage import PLAIN


class Alike(NamedTuple):
    """What tensors of one batch have in common: the device, and the dtypes of gradient, parameter, states."""

    device: torch.device
    dtypes: tuple[torch.dtype, ...]


class Foreach:
    """Steps dense real tensors of any device, many by one call of PyTorch's."""

    name = "foreach"
    alone = True

    def problem(self, program: Program) -> str | None:
        """Return why a program cannot be run over lists, or None."""
        foreign = dict.fromkeys(program.foreign)
        if foreign:
            return f"no list of tensors can be given to {', '.join(foreign)}"
        return None

    def kind(self, member: Member) -> Alike | None:
        """Return device and dtypes of a member if lists can hold it."""
        if self.refusal(member) is not None:
            return None
        return Alike(member.param.device, member.dtypes)

    def refusal(self, member: Member) -> str | None:
        """Return why a member cannot be in a list, or None."""
        tensors = [member.param, *member.states, *member.matrix_states]
        dtypes = member.dtypes
        if any(type(x) not in PLAIN for x in tensors) or not member.grad_is_plain:
            return "a subclass of tensors"
        if any(x.layout is not torch.strided for x in tensors) or (
            member.grad_layout is not torch.strided
        ):
            return "a sparse tensor"
        if any(d.is_complex for d in dtypes):
            return "complex"
        numbers = [member.param.dtype, member.grad_dtype, *(x.dtype for x in member.plain_states)]
        if any(d not in REAL for d in numbers):
            return str(next(d for d in numbers if d not in REAL)).removeprefix("torch.")
        if len(set(map(computed_in, dtypes))) > 1:
            return "float64 beside other numbers"
        if any(x.device != member.param.device for x in tensors):
            return "states on another device"
        if any(x.shape != member.param.shape for x in member.shaped):
            return "states of another shape"
        if not all(map(_has_address, tensors)):
            return "no memory of its own"
        return None

    def batch(self, cohort: Cohort, kind: Alike, positions: Sequence[int]) -> ForeachBatch:
        """Return a batch of members with this device and these dtypes."""
        if cohort.on_device:
            refuse_uncountable(cohort.program, kind.device)
        members = [cohort.members[k] for k in positions]
        entries = same_entries([(m.state, name) for m in members for name in _entries(m)])
        return ForeachBatch(cohort, positions, entries.hold)


def _entries(m: Member) -> tuple[str, ...]:
    return (*m.names, *m.matrix_names, *m.kept)


def _has_address(x: Tensor) -> bool:
    try:
        x.data_ptr()
    except RuntimeError:  # under torch.func
        return False
    return not x.is_neg()
