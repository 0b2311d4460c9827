"""What a trust region asks: the lowest point of a quadratic model within a ball."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class Subproblem(Protocol):
    """Steps within ‖D·p‖ ≤ Δ, for several runs at once."""

    @property
    def by_curvature(self) -> bool:
        """Whether ‖D·p‖² grows with the curvature of the objective: c times as long where H is c times H."""
        ...

    def prepare(self, before: Any, g: Tensor, model: Any) -> Any:
        """Return what is computed once at a point, for all radii; `before` is that of the last point."""
        ...

    def length(self, at: Any, x: Tensor) -> Tensor:
        """Return ‖D·x‖ of each lane, [lanes]."""
        ...

    def leave(self, at: Any, lanes: Tensor) -> Any:
        """Return what `prepare` made, of these lanes alone."""
        ...

    def solve(self, at: Any, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the steps p [lanes, n], by how much the model falls [lanes, 1], and ‖D·p‖ [lanes, 1]."""
        ...
