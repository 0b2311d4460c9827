"""The unit in which a solver counts its objective, so that squares of a gradient stay within the dtype."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.lane import Lane
from thalweg.solvers.lanes import largest
from thalweg.solvers.preconditioner import Preconditioner


class Unit:
    """c, a power of four: the solver sees c·f, c·g and c·H in the place of f, g and H.

    A solver multiplies gradients with gradients. Where the largest component of g is beyond the fourth root
    of the largest number of its dtype, c brings it to about 1; where it is below the fourth root of the
    smallest number, c brings it there: a gradient that begins so small may yet grow. Otherwise c = 1. A
    product with a power of two is exact, so c changes no step.
    """

    def __init__(self) -> None:
        self.c = 1.0

    def choose(self, f: Tensor, g: Tensor) -> None:
        """Take c from the first values and gradients of all runs."""
        sizes = [size for size in largest(g).tolist() if 0 < size < math.inf]
        if not sizes:
            return
        most = math.frexp(torch.finfo(g.dtype).max)[1]
        at = math.frexp(max(sizes))[1]
        if at > most // 4:
            self.c = 4.0 ** -(at // 2)
        elif at < -most // 4:
            # no further than the values themselves allow
            highest = max((abs(value) for value in f.tolist() if math.isfinite(value)), default=0.0)
            room = most // 2 - math.frexp(highest)[1]
            self.c = 4.0 ** max(0, min(-most // 4 - at, room) // 2)

    def inverse(self, m: Preconditioner) -> Preconditioner:
        """Return M/c, which stands for the inverse of c·H."""
        return Preconditioner(lambda r: m.times(r) / self.c)

    def restored(self, x: Tensor) -> Tensor:
        """Return x/c."""
        return x if self.c == 1 else x / self.c

    def restore(self, lane: Lane) -> None:
        """Let a run that has ended speak of f and g."""
        c = self.c
        if c == 1:
            return
        lane.f, lane.size, lane.largest = lane.f / c, lane.size / c, lane.largest / c
        lane.history = [
            record._replace(fun=record.fun / c, gradient=record.gradient / c)
            for record in lane.history
        ]


class InUnit:
    """An objective as the solver sees it: c·f, with c from the first evaluation."""

    def __init__(self, objective: Any, unit: Unit) -> None:
        self.objective, self.unit = objective, unit
        self._is_first = True

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return c·f [lanes] and c·g [lanes, n] at x [lanes, n]."""
        f, g = self.objective.evaluate(x)
        if self._is_first:
            self.unit.choose(f, g)
            self._is_first = False
        c = self.unit.c
        return (f, g) if c == 1 else (c * f, c * g)

    def model(self, x: Tensor) -> Any:
        """Return the second-order model of c·f at x."""
        model = self.objective.model(x)
        return model if self.unit.c == 1 else ModelInUnit(model, self.unit.c)


class ModelInUnit:
    """c·H, or of residuals √c·r and √c·J."""

    def __init__(self, model: Any, c: float) -> None:
        self.of, self.c = model, c

    def __matmul__(self, vectors: Tensor) -> Tensor:
        products: Tensor = self.c * (self.of @ vectors)
        return products

    def dense(self) -> Tensor:
        """Return c·H of each lane, [lanes, n, n]."""
        dense: Tensor = self.c * self.of.dense()
        return dense

    def jacobian(self) -> Tensor:
        """Return √c·J of each lane, [lanes, m, n]."""
        jacobian: Tensor = math.sqrt(self.c) * self.of.jacobian()
        return jacobian

    def residuals(self) -> Tensor:
        """Return √c·r of each lane, [lanes, m]."""
        residuals: Tensor = math.sqrt(self.c) * self.of.residuals()
        return residuals
