"""Directions and subproblems that go on from what an earlier run has left, and keep what they leave."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from thalweg.optim.solvers.flat import Flat
from thalweg.solvers.direction.bfgs import OneInverse
from thalweg.solvers.direction.direction import Direction, Model
from thalweg.solvers.search.cubic import Sample
from thalweg.solvers.search.search import LineSearch, Searching
from thalweg.solvers.trust.gauss_newton import GaussNewton, Linearised, Singular


class Present(Protocol):
    """What says which parameters have no gradient where the objective was evaluated last."""

    flat: Flat
    absent: tuple[int, ...]


class CarriedDirection:
    """A direction whose first state is one from before; `state` is the last one.

    Parameters without a gradient stay where they are. `absent` are those that had none before.
    """

    def __init__(
        self, inner: Direction, objective: Present, state: Any, absent: tuple[int, ...]
    ) -> None:
        self.inner, self.objective, self.state, self.absent = inner, objective, state, absent
        self.learns = inner.learns
        self._begins = state is not None

    @property
    def is_untouched(self) -> bool:
        """Whether the state from before is as it was: directions change theirs in place."""
        return self._begins

    def natural(self, steps: int) -> bool:
        """Return whether a step of length 1 is the expected one."""
        return self.inner.natural(steps)

    def init(self, x: Tensor, g: Tensor) -> Any:
        """Return the state from before, the first time, then fresh ones."""
        if self._begins:
            self._begins = False
            self.state = self._at(g)
        else:
            self.state = self.inner.init(x, g)
        return self.state

    def propose(self, state: Any, g: Tensor, model: Model) -> tuple[Tensor, Any]:
        """Return the direction, and the state."""
        d, self.state = self.inner.propose(state, g, model)
        if self.objective.absent:
            d = self.objective.flat.without(d[0], self.objective.absent)[None]
        return d, self.state

    def update(self, state: Any, step: Tensor, dg: Tensor) -> Any:
        """Return the state after a step."""
        self.state = self.inner.update(state, step, dg)
        return self.state

    def _at(self, g: Tensor) -> Any:
        """Return the first state, where the gradient is `g`.

        The pair that is still to be learned gets this gradient: the closure may be another one now.
        """
        if isinstance(self.state, OneInverse) and self.state.inverse.pair is not None:
            inverse = self.state.inverse
            same = self.absent == self.objective.absent  # or else gradients of other parameters
            inverse.now(g[0].to(inverse.dtype) if same else None)
        return self.state


class CarriedScales:
    """Levenberg and Marquardt's subproblem with the scales of the parameters from before."""

    by_curvature = True

    def __init__(self, scales: Tensor | None) -> None:
        self.inner, self.scales = GaussNewton(), scales

    def prepare(self, before: Singular | None, g: Tensor, model: Linearised) -> Singular:
        """Return what is computed once at a point, with the scales from before."""
        if before is None and self.scales is not None:
            blank = g.new_zeros(0)
            before = Singular(blank, blank, blank, self.scales)
        at = self.inner.prepare(before, g, model)
        self.scales = at.scales
        return at

    def length(self, at: Singular, x: Tensor) -> Tensor:
        """Return ‖D·x‖."""
        return self.inner.length(at, x)

    def leave(self, at: Singular, lanes: Tensor) -> Singular:
        """Return what `prepare` made, of these lanes alone."""
        return self.inner.leave(at, lanes)

    def solve(self, at: Singular, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the step, by how much the model falls, and ‖D·p‖."""
        return self.inner.solve(at, radius)


class Scaled:
    """A search whose first step length is multiplied by `lr`."""

    def __init__(self, inner: LineSearch, lr: float) -> None:
        self.inner, self.lr = inner, lr

    def __call__(self, f: float, slope: float, first: float) -> Searching:
        """Return the search."""
        return self.inner(f, slope, self.lr * first)

    def accepts(self, start: Sample, first: Sample) -> Any:
        """Return whether the search ends with the first point."""
        return self.inner.accepts(start, first)
