"""What a direction is: where a solver looks for a lower objective, from the gradients it has seen."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class Model(Protocol):
    """The objective's second-order model at a point of each lane: `model @ v` is H·v."""

    def __matmul__(self, vectors: Tensor) -> Tensor: ...

    def dense(self) -> Tensor:
        """Return H of each lane, [lanes, n, n]."""
        ...


class Direction(Protocol):
    """Where to go next, for several runs at once: the first axis of each tensor is the run, its lane.

    A state is a named tuple of tensors. No method branches on values, so that lanes do not wait for
    each other.
    """

    learns: bool
    """Whether a step teaches it the pair (s, y)."""

    def natural(self, steps: int) -> bool:
        """Return whether a step of length 1 is the expected one, as Newton's is, after so many steps."""
        ...

    def init(self, x: Tensor, g: Tensor) -> Any:
        """Return the state before the first step; x and g are [lanes, n]."""
        ...

    def propose(self, state: Any, g: Tensor, model: Model) -> tuple[Tensor, Any]:
        """Return the direction d, [lanes, n], from the gradient at the present point, and the state."""
        ...

    def update(self, state: Any, step: Tensor, dg: Tensor) -> Any:
        """Return the state after a step s = x⁺ − x that changed the gradient by y = g⁺ − g."""
        ...
