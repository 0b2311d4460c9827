"""Matrix values printed as PyTorch calls on stacks of matrices, K × rows × columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.matrix.function import checked
from thalweg.engine.program.program import Value
from thalweg.engine.program.shapes import Shape, length_of

SIZES = "_sizes"
"""The name of the sizes (K, m, n) in printed functions."""
_DIMENSIONS = {"m": f"{SIZES}[1]", "n": f"{SIZES}[2]", "1": "1"}


def _dimension(dimension: str, of: str) -> str:
    """Return a dimension of a shape, whose first is `of`, as text."""
    known = _DIMENSIONS.get(dimension)
    return known or f"length_of({dimension!r}, {of!r}, {SIZES}[1], {SIZES}[2])"


def matrix_line(value: Value, given: Callable[[Value], str]) -> str | None:
    """Return the line that computes a matrix value, or None for arithmetic, which is printed as any other.

    `given` is how what a pass computes is written as a stack.
    """
    name = value.name
    if value.op == "matrix":
        written = (given(v) if v.shape is None else v.name for v in value.operands)
        called = f"call_{name}(({''.join(f'{text}, ' for text in written)}))"
        return f"{name} = checked({value.data.label!r}, {called}, {_size(value.shape)})"
    if value.op in ("matrix sum", "matrix max", "matrix count"):
        return f"{name} = {value.op.replace(' ', '_')}({value.operands[0].name})"
    return None


def functions_of(values: Sequence[Value]) -> Mapping[str, Any]:
    """Return what the lines of these values call."""
    return {
        **{f"call_{v.name}": v.data for v in values if v.op == "matrix"},
        "checked": checked,
        "matrix_sum": _sum,
        "matrix_max": _largest,
        "matrix_count": _count,
        "as_stack": as_stack,
        "as_elements": as_elements,
        "length_of": length_of,
    }


def state_line(value: Value) -> str:
    """Return the line that makes a stack of a state of another shape than the parameter's."""
    return f"{value.name} = as_stack({value.name}, {_size(value.shape)})"


def as_stack(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return a tensor as the stack of matrices that it is seen as."""
    return x.reshape(tuple(size))


def as_elements(x: Tensor, like: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return a stack, or what is repeated over the rows or columns of one, with the shape of a tensor."""
    return x.expand(tuple(sizes)).reshape(like.shape)


def fitted(x: Any, state: Tensor) -> Tensor:
    """Return the new value of a state of another shape than the parameter's, a stack, with its size."""
    if not isinstance(x, Tensor):
        return torch.full_like(state, x)
    if x.ndim == 0:
        return x.expand(state.shape)
    size = x.shape[0], *state.shape[-2:]
    return x.expand(size).reshape(state.shape)


def _size(shape: Shape | None) -> str:
    assert shape is not None
    return f"({SIZES}[0], {', '.join(_dimension(d, shape[0]) for d in shape)})"


def _sum(x: Tensor) -> Tensor:
    return x.sum((-2, -1), keepdim=True)


def _largest(x: Tensor) -> Tensor:
    if x.shape[-1] and x.shape[-2]:
        return torch.amax(x, (-2, -1), keepdim=True)
    return x.new_full((x.shape[0], 1, 1), float("-inf"))


def _count(x: Tensor) -> Tensor:
    return x.new_full((x.shape[0], 1, 1), float(x.shape[-2] * x.shape[-1]))
