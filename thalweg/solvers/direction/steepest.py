"""Steepest descent: d = −g."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from thalweg.solvers.direction.direction import Model


class Nothing(NamedTuple):
    """The state of what remembers nothing."""


class Steepest:
    """d = −g (Cauchy, 1847)."""

    learns = False

    def natural(self, steps: int) -> bool:
        """Return whether a step of length 1 is the expected one."""
        return False

    def init(self, x: Tensor, g: Tensor) -> Nothing:
        """Return the state before the first step."""
        return Nothing()

    def propose(self, state: Nothing, g: Tensor, model: Model) -> tuple[Tensor, Nothing]:
        """Return the direction, and the state."""
        return -g, state

    def update(self, state: Nothing, step: Tensor, dg: Tensor) -> Nothing:
        """Return the state after a step."""
        return state
