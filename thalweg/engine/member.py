"""A member of a step: one parameter, its states, and the kind of its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.program.formats import REMAINDER
from thalweg.engine.program.program import Program
from thalweg.engine.rows import Block


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
    """The names of its states in `state`: those of the program in order, then the scales of coded ones."""
    matrix_names: tuple[str, ...]
    """The names of its states of other shapes in `state`."""
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
    """Whether the gradient is not a subclass of tensors, whose memory may be elsewhere."""

    @property
    def called(self) -> str:
        """What it is called in a message."""
        return called(self.ordinal, self.name)

    @property
    def gradient_called(self) -> str:
        """What its gradient is called in a message."""
        return f"the gradient of {self.called}"

    def slot_called(self, slot: int) -> str:
        """Return what a tensor that a step writes is called in a message: the parameter, then its states.

        States of other shapes come last.
        """
        names = (*self.names, *self.matrix_names)
        return self.state_called(names[slot - 1]) if slot else self.called

    def state_called(self, name: str) -> str:
        """Return what one of its states is called in a message."""
        return f"the state {name!r} of {self.called}"

    @property
    def states(self) -> list[Tensor]:
        """Its state tensors of its own shape."""
        return [self.state[name] for name in self.names]

    @cached_property
    def coded(self) -> dict[str, str]:
        """Its states of 8 bits, each with the name of its scales."""
        scales = self.names[len(self.program.states) :]
        names = (self.names[k] for k in self.program.coded)
        return dict(zip(names, scales, strict=True))

    @property
    def shaped(self) -> list[Tensor]:
        """Its state tensors of the shape of the parameter: all but the scales."""
        return self.states[: len(self.program.states)]

    @property
    def plain_states(self) -> list[Tensor]:
        """Its state tensors that hold the numbers themselves: neither codes nor a remainder."""
        return [
            self.state[name]
            for name, own in zip(self.names, self.program.states, strict=False)
            if name not in self.coded and own != REMAINDER
        ]

    @property
    def matrix_states(self) -> list[Tensor]:
        """Its state tensors of other shapes."""
        return [self.state[name] for name in self.matrix_names]

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        """The dtypes of its slots: gradient, parameter, states."""
        return (self.grad_dtype, self.param.dtype, *(x.dtype for x in self.states))

    @property
    def numbers(self) -> list[Tensor]:
        """Its scalar states that are computed from reductions."""
        start = 1 + len(self.program.scalar_outputs)
        return list(torch.from_numpy(self.block[self.line, start:]).unbind())
