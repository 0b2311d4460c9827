"""Bounds on each parameter, kept by projection."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bounds:
    """low ≤ x ≤ high, each [n]; infinite where there is no bound."""

    low: Tensor
    high: Tensor

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point within the bounds."""
        return torch.minimum(torch.maximum(x, self.low), self.high)

    def free(self, x: Tensor, g: Tensor) -> Tensor:
        """Return which parameters may follow −g: all but those at a bound that it points out of.

        Source: Bertsekas (1982), Projected Newton methods for optimization problems with simple constraints.
        """
        return ~((x <= self.low) & (g > 0) | (x >= self.high) & (g < 0))
