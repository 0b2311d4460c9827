"""States of other shapes than the parameter's: how they begin, and what is said of a wrong one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.precision import computed_in
from thalweg.engine.program.shapes import Seen, Shape, state_size
from thalweg.errors import EngineError


def new_state(shape: Shape, seen: Seen, p: Tensor) -> Tensor:
    """Return the zeros that a state of a shape begins with.

    Of a half-precision parameter they are float32: such a state sums many steps, and roots are taken of it.
    """
    return p.new_zeros(state_size(shape, p.shape, seen), dtype=computed_in(p.dtype))


def open_matrix_states(
    p: Tensor, state: dict[str, Any], shapes: Mapping[str, Shape], seen: Seen
) -> None:
    """Make the states of other shapes that are missing.

    Raises:
        EngineError: one has another size than the parameter asks for.
    """
    for name, shape in shapes.items():
        size = state_size(shape, p.shape, seen)
        if state.get(name) is None:
            state[name] = new_state(shape, seen, p)
        elif tuple(state[name].shape) != size:
            raise wrong_size(p, state, name, size)


def matrix_state_sizes(
    shapes: Mapping[str, Shape], seen: Seen, p: Tensor
) -> dict[str, tuple[torch.dtype, int]]:
    """Return the dtype and the bytes of each state of another shape, as they are made."""
    dtype = computed_in(p.dtype)
    counts = {name: math.prod(state_size(shape, p.shape, seen)) for name, shape in shapes.items()}
    return {name: (dtype, dtype.itemsize * count) for name, count in counts.items()}


def wrong_size(p: Tensor, state: Mapping[str, Any], name: str, size: Sequence[int]) -> EngineError:
    """Return the error on a state of another size than the parameter asks for."""
    return EngineError(
        f"The state {name!r} of a parameter of shape {tuple(p.shape)} has shape "
        f"{tuple(state[name].shape)}, not {tuple(size)}. Was the state dict saved for another model?"
    )
