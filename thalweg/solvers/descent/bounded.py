"""A direction within bounds, of several runs: what is at a bound is left out of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.descent.bounds import Bounds, FreeModel
from thalweg.solvers.direction.direction import Direction, Model
from thalweg.solvers.lanes import dot, largest


class Bounded:
    """A direction, kept within bounds if there are any; x, g and d are [lanes, n]."""

    def __init__(self, direction: Direction, bounds: Bounds | None) -> None:
        self.direction, self.bounds = direction, bounds

    def inside(self, x: Tensor) -> Tensor:
        """Return the nearest points within the bounds."""
        return x if self.bounds is None else self.bounds.project(x)

    def slopes(self, x: Tensor, g: Tensor, d: Tensor) -> Tensor:
        """Return the slopes along directions, [lanes]; a parameter at its bound goes no further."""
        if self.bounds is None:
            return dot(g, d)[:, 0]
        return dot(g, d * self.bounds.open(x, d))[:, 0]

    def sizes(self, x: Tensor, g: Tensor) -> Tensor:
        """Return the gradients' largest components, [lanes], of those that a step could follow."""
        return largest(self.followed(x, g))

    def followed(self, x: Tensor, g: Tensor) -> Tensor:
        """Return the gradient of the parameters that may follow it, and zeros."""
        return g if self.bounds is None else torch.where(self.bounds.free(x, g), g, 0.0)

    def propose(self, state: Any, x: Tensor, g: Tensor, model: Model) -> tuple[Tensor, Tensor, Any]:
        """Return the direction, −g of the parameters that may follow it, and the state."""
        if self.bounds is None:
            d, state = self.direction.propose(state, g, model)
            return d, -g, state
        free = self.bounds.free(x, g)
        d, state = self.direction.propose(state, g * free, FreeModel(model, free))
        d = d * free
        if not self.direction.natural(1):
            return d, -g * free, state
        # What the step would carry beyond its bound goes to the bound, and the others without it.
        target = self.bounds.project(x + d)
        stopped = free & (target != x + d) & (d * g < 0)
        if bool(stopped.any()):
            others = free & ~stopped
            rest, state = self.direction.propose(state, g * others, FreeModel(model, others))
            d = torch.where(stopped, target - x, rest * others)
        return d, -g * free, state

    def update(
        self, state: Any, before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor], model: Model
    ) -> Any:
        """Return the state after steps between two x and g; `model` is that before them.

        A direction that learns pairs gets those of the parameters that were free before and after. It takes
        g − g₋ for what changed since its last proposal, so it has to have seen both. The x before is
        overwritten where there are no bounds: a new large tensor costs more than a difference.
        """
        (x_before, g_before), (x, g) = before, after
        if self.bounds is None or not self.direction.learns:
            step = torch.sub(x, x_before, out=x_before)
            return self.direction.update(state, step, g - g_before)
        both = self.bounds.free(x_before, g_before) & self.bounds.free(x, g)
        g_before, g = g_before * both, g * both
        _, state = self.direction.propose(state, g_before, model)
        state = self.direction.update(state, (x - x_before) * both, g - g_before)
        return self.direction.propose(state, g, model)[1]
