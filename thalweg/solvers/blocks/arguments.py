"""Matrices, vectors and penalties as they are given."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from thalweg.numeric import is_real


def as_matrix(given: Any, name: str) -> Tensor:
    """Return a finite matrix; what is not a float tensor or array becomes float64.

    Raises:
        ValueError: for another number of axes, for no entries, and for values that are not finite.

    >>> as_matrix([[1, 2]], "A")
    tensor([[1., 2.]], dtype=torch.float64)
    """
    matrix = _tensor(given, name)
    if matrix.ndim != 2 or not matrix.numel():
        raise ValueError(
            f"{name} must be a matrix with at least one entry; got shape {tuple(matrix.shape)}."
        )
    return matrix


def as_vector(given: Any, name: str, like: Tensor, length: int) -> Tensor:
    """Return a finite vector of a length, with the dtype and on the device of `like`.

    Raises:
        ValueError: for another shape, and for values that are not finite.
    """
    vector = _tensor(given, name)
    if tuple(vector.shape) != (length,):
        raise ValueError(f"{name} must have shape ({length},); got {tuple(vector.shape)}.")
    return vector.to(like)


def as_penalty(given: Any) -> float:
    """Return a penalty: a finite number, 0 or above."""
    if not is_real(given) or not math.isfinite(given) or given < 0:
        raise ValueError(f"penalty must be a finite number of at least 0; got {given!r}.")
    return float(given)


def _tensor(given: Any, name: str) -> Tensor:
    plain = not isinstance(given, Tensor) and not hasattr(given, "__array__")
    try:
        tensor = torch.as_tensor(given, dtype=torch.float64 if plain else None).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(
            f"{name} must be a tensor, an array or lists of numbers; got {type(given).__name__} ({error})."
        ) from None
    if tensor.is_complex():
        raise ValueError(f"{name} is complex; expected real numbers.")
    tensor = tensor if tensor.is_floating_point() else tensor.double()
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"{name} is of {str(tensor.dtype).removeprefix('torch.')}; pass it in float32 or float64."
        )
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds values that are not finite: NaN or infinities.")
    return tensor
