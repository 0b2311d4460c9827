"""States of several runs at once: tuples of tensors whose first axis is the run, called a lane."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

State = TypeVar("State", bound=tuple[Any, ...])


def take(state: State, lanes: Tensor | None) -> State:
    """Return the part of a state that belongs to `lanes`; None means all of them.

    What is not a tensor belongs to all lanes.

    >>> from typing import NamedTuple
    >>> import torch
    >>> class Pair(NamedTuple):
    ...     x: Tensor
    ...     y: Tensor
    >>> take(Pair(torch.arange(3), torch.ones(3, 2)), torch.tensor([2])).x
    tensor([2])
    """
    if lanes is None:
        return state
    return _like(state, [_taken(field, lanes) for field in state])


def put(state: State, lanes: Tensor | None, part: State) -> State:
    """Return a state in which `lanes` have what `part` holds; None means all of them."""
    if lanes is None:
        return part
    return _like(state, [_put(old, lanes, new) for old, new in zip(state, part, strict=True)])


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each lane's vectors, with a last axis of length one."""
    return (a * b).sum(-1, keepdim=True)


def _taken(field: Any, lanes: Tensor) -> Any:
    if isinstance(field, Tensor):
        return field.index_select(0, lanes)
    return take(field, lanes) if isinstance(field, tuple) else field


def _put(old: Any, lanes: Tensor, new: Any) -> Any:
    if isinstance(old, Tensor):
        return old.index_copy(0, lanes, new)
    return put(old, lanes, new) if isinstance(old, tuple) else new


_SMALL = 24
"""Columns up to which a product of numbers and a sum are faster than a batch of matrix products."""


def times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Return A·v of each lane: [lanes, a, b] and [lanes, b] give [lanes, a]."""
    if len(matrices) == 1:  # a matrix times a vector is faster than a batch of one
        return torch.mv(matrices[0], vectors[0])[None]
    if vectors.shape[-1] <= _SMALL:
        return (matrices * vectors[:, None]).sum(-1)
    return torch.bmm(matrices, vectors[..., None])[..., 0]


def add_products(matrices: Tensor, *pairs: tuple[Tensor, Tensor]) -> Tensor:
    """Add abᵀ of each lane to A, [lanes, n, n], for each pair of a and b, [lanes, n]; A is changed."""
    if matrices.shape[-1] <= _SMALL:
        for a, b in pairs:
            matrices.addcmul_(a[..., None], b[:, None])
        return matrices
    left, right = (torch.stack(side, 1) for side in zip(*pairs, strict=True))
    return matrices.baddbmm_(left.mT, right)


def transposed_times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Return Aᵀ·v of each lane: [lanes, a, b] and [lanes, a] give [lanes, b]."""
    return times(matrices.mT, vectors)


def _like(state: State, fields: list[Any]) -> State:
    """Return the fields as what `state` is: a plain tuple or a named one."""
    make = getattr(type(state), "_make", type(state))
    made: State = make(fields)
    return made


def largest(x: Tensor) -> Tensor:
    """Return the largest absolute component of each lane's vector, [lanes]."""
    return x.abs().amax(-1)


def norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm of each lane's vector, [lanes], with the squares in float64."""
    lengths: Tensor = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float64)
    return lengths.to(x.dtype)


def power_of_two(size: Tensor) -> Tensor:
    """Return the powers of two just above sizes, by which anything is multiplied exactly; 1 for zero."""
    exponent = torch.frexp(size).exponent
    return torch.ldexp(torch.ones_like(size), exponent)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of the angle between each lane's vectors, [lanes]; NaN where one of them is zero."""
    sides = (side / norm(side)[..., None] for side in (a, b))
    return dot(*sides)[..., 0]
