"""Reading gradients: in float32 at least, their entries, their global norm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from thalweg.optim.stepping.steppable import has_values

_HALF = (torch.float16, torch.bfloat16)


def widened(x: Tensor) -> Tensor:
    """Return a half-precision tensor in float32, any other as it is."""
    return x.to(torch.float32) if x.dtype in _HALF else x


def entries(g: Tensor) -> Tensor:
    """Return the entries of a gradient: all of a dense one, those that a sparse one holds."""
    return g.coalesce().values() if g.is_sparse else g


def global_norm(tensors: Iterable[Tensor]) -> float:
    """Return the Euclidean norm over all tensors."""
    squares: list[Tensor] = []
    for tensor in tensors:
        x = widened(tensor)
        # PyTorch adds the squares of a long vector one after the other, and loses three digits of float32 by
        # it; in rows the sums are short
        rows = torch.linalg.vector_norm(x.flatten(1), dim=1) if x.ndim > 1 else x
        squares.append(torch.linalg.vector_norm(rows))
    return math.hypot(*on_host(squares))


def on_host(numbers: Sequence[Tensor]) -> list[float]:
    """Return 0-d tensors as numbers, with one transfer a device.

    Of tensors that are shapes alone (on "meta", or fake) all numbers are 1, so that memory can be planned by
    a step that computes nothing.
    """
    if not all(map(has_values, numbers)):
        return [1.0] * len(numbers)
    by_device: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for number in numbers:
        by_device.setdefault((number.device, number.dtype), []).append(number)
    return [value for group in by_device.values() for value in torch.stack(group).tolist()]
