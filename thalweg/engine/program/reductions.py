"""Reductions that a rule may use: over its own tensor, or over all tensors of the optimizer.

    total(u) = Σ uᵢ      mean(u) = Σ uᵢ / n      norm(u) = √(Σ uᵢ²)      largest(u) = max uᵢ

`scope="tensor"` (the default) reduces over the one parameter tensor that the rule is written for;
`scope="all"` over every tensor of the step, whatever its group, dtype or engine, as a global clip needs;
`scope="unit"` over each slice along the first dimension, which in PyTorch's layers holds the weights of one
output (a row, a filter), and over all of a tensor with fewer than two dimensions. Called on plain tensors,
outside an engine, "all" means that tensor.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from thalweg.engine.program.shapes import matrix_sizes
from thalweg.errors import suggest

Scope = Literal["tensor", "all", "unit"]


def total(u: Tensor, *, scope: Scope = "tensor") -> Tensor:
    """Return the sum of the elements, Σ uᵢ.

    >>> float(total(torch.tensor([1.0, 2.0])))
    3.0
    """
    _check(scope)
    if has_torch_function_unary(u):
        return handle_torch_function(total, (u,), u, scope=scope)
    return u.sum() if (inner := _within(u, scope)) is None else u.sum(inner, keepdim=True)


def mean(u: Tensor, *, scope: Scope = "tensor") -> Tensor:
    """Return the mean of the elements, Σ uᵢ / n.

    >>> float(mean(torch.tensor([1.0, 2.0])))
    1.5
    """
    _check(scope)
    if has_torch_function_unary(u):
        return handle_torch_function(mean, (u,), u, scope=scope)
    return u.mean() if (inner := _within(u, scope)) is None else u.mean(inner, keepdim=True)


def norm(u: Tensor, *, scope: Scope = "tensor") -> Tensor:
    """Return the Euclidean norm of the elements, √(Σ uᵢ²).

    >>> float(norm(torch.tensor([3.0, 4.0])))
    5.0
    """
    _check(scope)
    if has_torch_function_unary(u):
        return handle_torch_function(norm, (u,), u, scope=scope)
    return cast(Tensor, torch.linalg.vector_norm(u, dim=_within(u, scope), keepdim=scope == "unit"))


def largest(u: Tensor, *, scope: Scope = "tensor") -> Tensor:
    """Return the largest element, max uᵢ.

    >>> float(largest(torch.tensor([1.0, 2.0])))
    2.0
    """
    _check(scope)
    if has_torch_function_unary(u):
        return handle_torch_function(largest, (u,), u, scope=scope)
    return u.max() if (inner := _within(u, scope)) is None else u.amax(inner, keepdim=True)


def dimensions(u: Tensor) -> int:
    """Return the number of dimensions of the parameter.

    >>> dimensions(torch.zeros(2, 3))
    2
    """
    if has_torch_function_unary(u):
        return handle_torch_function(dimensions, (u,), u)
    return u.ndim


def rows(u: Tensor) -> int:
    """Return the number of rows of the matrix that the parameter is seen as: its first dimension.

    >>> rows(torch.zeros(2, 3, 4))
    2
    """
    if has_torch_function_unary(u):
        return handle_torch_function(rows, (u,), u)
    return matrix_sizes(u.shape, "first")[1]


def columns(u: Tensor) -> int:
    """Return the number of columns of the matrix that the parameter is seen as: all other dimensions.

    >>> columns(torch.zeros(2, 3, 4))
    12
    """
    if has_torch_function_unary(u):
        return handle_torch_function(columns, (u,), u)
    return matrix_sizes(u.shape, "first")[2]


def _check(scope: str) -> None:
    known = get_args(Scope)
    if scope not in known:
        listed = ", ".join(map(repr, known))
        raise ValueError(
            f"The scope of a reduction must be one of {listed}, got {scope!r}.{suggest(str(scope), known)}"
        )


def _within(u: Tensor, scope: Scope) -> tuple[int, ...] | None:
    """Return the dimensions inside a unit, or None for the whole tensor."""
    return tuple(range(1, u.ndim)) if scope == "unit" and u.ndim > 1 else None
