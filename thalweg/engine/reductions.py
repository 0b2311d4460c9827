"""Reductions that a rule may use: over its own tensor, or over all tensors of the optimizer.

    total(u) = Σ uᵢ      mean(u) = Σ uᵢ / n      norm(u) = √(Σ uᵢ²)      largest(u) = max uᵢ

`scope="tensor"` (the default) reduces over the one parameter tensor that the rule is written for;
`scope="all"` over every tensor of the step, whatever its group, dtype or engine, as a global clip needs.
Called on plain tensors, outside an engine, both mean that tensor.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

Scope = Literal["tensor", "all"]


def total(u: Tensor, *, scope: Scope = "tensor") -> Tensor:
    """Return the sum of the elements, Σ uᵢ.

    >>> float(total(torch.tensor([1.0, 2.0])))
    3.0
    """
    if has_torch_function_unary(u):
        return handle_torch_function(total, (u,), u, scope=scope)
    return u.sum()


def mean(u: Tensor, *, scope: Scope = "tensor") -> Tensor:
    """Return the mean of the elements, Σ uᵢ / n.

    >>> float(mean(torch.tensor([1.0, 2.0])))
    1.5
    """
    if has_torch_function_unary(u):
        return handle_torch_function(mean, (u,), u, scope=scope)
    return u.mean()


def norm(u: Tensor, *, scope: Scope = "tensor") -> Tensor:
    """Return the Euclidean norm of the elements, √(Σ uᵢ²).

    >>> float(norm(torch.tensor([3.0, 4.0])))
    5.0
    """
    if has_torch_function_unary(u):
        return handle_torch_function(norm, (u,), u, scope=scope)
    return cast(Tensor, torch.linalg.vector_norm(u))


def largest(u: Tensor, *, scope: Scope = "tensor") -> Tensor:
    """Return the largest element, max uᵢ.

    >>> float(largest(torch.tensor([1.0, 2.0])))
    2.0
    """
    if has_torch_function_unary(u):
        return handle_torch_function(largest, (u,), u, scope=scope)
    return u.max()
