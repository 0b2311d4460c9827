"""States of other shapes than the parameter's: how they begin."""

from __future__ import annotations

from torch import Tensor

from thalweg.engine.precision import computed_in
from thalweg.engine.program.shapes import Seen, Shape, state_size


def new_state(shape: Shape, seen: Seen, p: Tensor) -> Tensor:
    """Return the zeros that a state of a shape begins with.

    A state of a half-precision parameter is float32: it sums many steps, and is small or dear to be wrong.
    """
    return p.new_zeros(state_size(shape, p.shape, seen), dtype=computed_in(p.dtype))
