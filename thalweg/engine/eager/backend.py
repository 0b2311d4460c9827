"""The eager engine as the plan of a step knows it: each parameter is a batch of its own."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.capturing import counted_by_the_host, is_capturing
from thalweg.engine.cohort import Cohort
from thalweg.engine.eager.printed import eager_program
from thalweg.engine.matrix.printed import fitted
from thalweg.engine.member import Member
from thalweg.engine.passes import Pass, run_together
from thalweg.engine.program.coded import decode, encode
from thalweg.engine.program.ops import as_double
from thalweg.engine.program.program import Program
from thalweg.engine.storage import has_memory, holds_its_numbers, memory_problem
from thalweg.errors import EngineError


class Eager:
    """Steps anything, anywhere, tensor by tensor."""

    name = "eager"
    alone = False  # it also steps what shares memory

    def problem(self, program: Program) -> str | None:
        """Return None: it runs every program."""
        return None

    def kind(self, member: Member) -> Hashable | None:
        """Return something of each member's own."""
        return id(member)

    def refusal(self, member: Member) -> str | None:
        """Return None: it steps every parameter."""
        return None

    def batch(self, cohort: Cohort, kind: Any, positions: Sequence[int]) -> EagerBatch:
        """Return the batch of one member."""
        (position,) = positions
        return EagerBatch(cohort, cohort.members[position], cohort.row_of[position])


class EagerBatch:
    """One parameter, stepped by PyTorch calls."""

    moved = False

    def __init__(self, cohort: Cohort, member: Member, row: int) -> None:
        self._cohort, self._member, self._row = cohort, member, row
        self._program = eager_program(cohort.program)
        self._names = (*member.names, *member.matrix_names, *member.kept)
        self._entries = [member.state.get(name) for name in self._names]

    def holds(self) -> bool:
        """Whether the state holds the same tensors and numbers."""
        return all(map(is_, map(self._member.state.get, self._names), self._entries))

    def prepare(self) -> Tensor | None:
        """Return the gradient, dense, or None for one of another kind."""
        grad = self._gradient()
        return grad if grad is None or grad.layout is torch.strided else grad.to_dense()

    def _gradient(self) -> Tensor | None:
        member, grad = self._member, self._member.param.grad
        if is_capturing(member.param.device):
            raise counted_by_the_host()
        if grad is None or grad.layout is not member.grad_layout:
            return None
        if grad.shape != member.param.shape:
            return None
        _check_memory(member, grad)
        return grad

    def step(self, prepared: Tensor, count: int) -> None:
        """Step the parameter by a program of one pass."""
        run_together([(self.run(prepared, count), ())])

    def run(self, prepared: Tensor, count: int) -> Pass:
        """Compute the program, then write what it gave."""
        m, differentiable = self._member, self._cohort.differentiable
        param = _in_graph(m.param) if differentiable else m.param
        reads = self._cohort.reads[self._row]
        result = yield from self._program.run(
            [prepared, param, *_wide_states(m), *m.matrix_states],
            reads,
            count,
            m.ordinal,
            m.numbers,
        )
        self._write(result)

    def _write(self, result: Sequence[Any]) -> None:
        member, differentiable = self._member, self._cohort.differentiable
        if not differentiable:  # a value that is passed on unchanged must not be overwritten first
            written = (member.param, *member.states, *member.matrix_states, *member.numbers)
            kept = {_memory_of(x) for x in written}
            result = [
                x.clone() if isinstance(x, Tensor) and _memory_of(x) in kept else x for x in result
            ]
        moved, *states = result[: 1 + len(member.program.states)]
        rest = result[1 + len(states) :]
        numbers, matrices = rest[: len(member.numbers)], rest[len(member.numbers) :]
        _copy(member.param, moved)
        for number, value in zip(member.numbers, numbers, strict=True):
            number.fill_(float(value))
        for name, scale in member.coded.items():
            # rounded by the program: each number is one that a code stands for
            k = member.names.index(name)
            written = encode(torch.as_tensor(states[k], device=member.param.device), member.param)
            for target, part in zip((name, scale), written, strict=True):
                member.state[target].copy_(part)
        written_names = member.names[: len(states)]
        for name, value in zip(member.matrix_names, matrices, strict=True):
            states.append(fitted(value, member.state[name]))
        for name, value in zip((*written_names, *member.matrix_names), states, strict=True):
            if name in member.coded:
                continue
            if differentiable:  # an in-place change would break the graph of the steps before
                member.state[name] = value
            else:
                _copy(member.state[name], value)

    def describe(self) -> str:
        """Return the shape, the dtype and the device."""
        p = self._member.param
        return f"eager  {tuple(p.shape)} {str(p.dtype).removeprefix('torch.')} {p.device}"


def _wide_states(member: Member) -> list[Tensor]:
    """Return the states of a member as a program computes with them."""
    state, coded = member.state, member.coded
    return [
        decode(state[name], state[coded[name]], member.param) if name in coded else state[name]
        for name in member.names[: len(member.program.states)]
    ]


def _check_memory(member: Member, grad: Tensor) -> None:
    """Refuse a parameter whose own memory, or that of its states or its gradient, is gone."""
    named = [(member.called, member.param), (member.gradient_called, grad)]
    named += [(member.slot_called(1 + k), x) for k, x in enumerate(member.states)]
    named += [(member.state_called(n), member.state[n]) for n in member.matrix_names]
    for called, x in named:
        if not holds_its_numbers(x):
            raise EngineError(memory_problem(x, called))


def _in_graph(param: Tensor) -> Tensor:
    """Return a copy: the step changes the parameter in place, and a backward pass may need what it was."""
    with torch.enable_grad():
        return param.clone()


def _memory_of(x: Tensor) -> int | None:
    """Return where the storage of a tensor begins; None stands for those that have none to point to."""
    return x.untyped_storage().data_ptr() if has_memory(x) else None


def _copy(target: Tensor, value: Any) -> None:
    if target.is_complex():
        target = torch.view_as_real(target)
    # a number may be too large for the dtype: copied it becomes infinite, and `fill_` would raise
    target.copy_(value if isinstance(value, Tensor) else as_double(value))
