"""Steepest descent: d = −g."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from thalweg.solvers.direction.direction import Model


class Nothing(NamedTuple):
    """The state of what remembers nothing."""


class Steepest:
    """d = −g (Cauchy, 1847)."""

    def natural(self, steps: int) -> bool:
        return False

    def init(self, x: Tensor, g: Tensor) -> Nothing:
        return Nothing()

    def propose(self, state: Nothing, g: Tensor, model: Model) -> tuple[Tensor, Nothing]:
        return -g, state

    def update(self, state: Nothing, step: Tensor, dg: Tensor) -> Nothing:
        return state
