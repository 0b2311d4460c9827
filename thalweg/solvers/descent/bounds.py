"""Bounds on each parameter, kept by projection."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.direction.direction import Model


@dataclass(frozen=True)
class Bounds:
    """low ≤ x ≤ high, each [n]; infinite where there is no bound."""

    low: Tensor
    high: Tensor

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point within the bounds."""
        return torch.minimum(torch.maximum(x, self.low), self.high)

    def open(self, x: Tensor, d: Tensor) -> Tensor:
        """Return which parameters may go along d."""
        return ~((x <= self.low) & (d < 0) | (x >= self.high) & (d > 0))

    def free(self, x: Tensor, g: Tensor) -> Tensor:
        """Return which parameters may follow −g: all but those at a bound that it points out of.

        Source: Bertsekas (1982), Projected Newton methods for optimization problems with simple constraints.
        """
        return self.open(x, -g)


class FreeModel:
    """The model of some parameters alone, the others held: H of these, and 1 for each of the others."""

    def __init__(self, model: Model, free: Tensor) -> None:
        self.model, self.free = model, free

    def __matmul__(self, vectors: Tensor) -> Tensor:
        return torch.where(self.free, self.model @ torch.where(self.free, vectors, 0.0), vectors)

    def dense(self) -> Tensor:
        """Return the matrix of each lane, [lanes, n, n]."""
        both = self.free[:, :, None] & self.free[:, None, :]
        hessian = self.model.dense()
        held = torch.diag_embed((~self.free).to(hessian.dtype))
        return torch.where(both, hessian, held)


def as_bounds(given: Any, start: Tensor) -> Bounds:
    """Return a pair (low, high) of numbers, tensors or None as bounds of the flat start.

    Raises:
        ValueError: if it is not a pair, has another shape, or is empty: low > high.
    """
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ValueError(
            "bounds must be a pair (low, high), each a number, a tensor of the shape of x0, or None; got "
            f"{given!r}."
        )
    if start.numel() == 2 and all(isinstance(side, (tuple, list)) for side in given):
        # of two parameters a list of pairs, as SciPy's, looks like two lists of numbers
        raise ValueError(
            "bounds is (low, high), not a pair for each parameter, and two lists of two numbers may be "
            f"either: write bounds=(torch.tensor({list(given[0])}), torch.tensor({list(given[1])})) if "
            "these are low and high."
        )
    low, high = (
        _side(side, start, name, limit)
        for side, name, limit in zip(given, ("low", "high"), (-math.inf, math.inf), strict=True)
    )
    if bool((low > high).any()):
        at = int((low > high).nonzero()[0])
        raise ValueError(f"bounds: low > high at entry {at} ({low[at]:g} > {high[at]:g}).")
    if bool((torch.isinf(low) & (low > 0) | torch.isinf(high) & (high < 0)).any()):
        raise ValueError(
            "bounds: low is inf or high −inf somewhere, which leaves no finite number."
        )
    return Bounds(low, high)


def _side(side: Any, start: Tensor, name: str, limit: float) -> Tensor:
    if side is None:
        return torch.full_like(start, limit).reshape(-1)
    try:
        value = torch.as_tensor(side)
        if value.is_complex():
            raise TypeError("Complex numbers have no order.")
        value = value.detach().to(dtype=start.dtype, device=start.device)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(
            f"bounds: {name} must be a number, a tensor or numbers of the shape of x0, or None; got "
            f"{type(side).__name__} ({error})."
        ) from None
    if value.isnan().any():
        raise ValueError(
            f"bounds: {name} holds NaN; write None or an infinity where there is no bound."
        )
    try:
        return value.expand(start.shape).reshape(-1)
    except RuntimeError:
        raise ValueError(
            f"bounds: {name} has shape {tuple(value.shape)}; expected a number or the shape of x0, "
            f"{tuple(start.shape)}."
        ) from None
