"""What is known of a sum of squares: its residuals, its standard start and its minima."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Minimum:
    """A local minimum f(x) = value.

    `published` is the value as the paper prints it, cut after six digits; `value` has more of them, found by
    Newton steps from there. `x` is None where no minimizer is listed; some of its elements are infinite where
    the minimum is only approached far away.
    """

    value: float
    x: tuple[float, ...] | None = None
    published: float | None = None

    @property
    def finite(self) -> bool:
        """Whether the minimum is attained."""
        return self.x is None or all(map(math.isfinite, self.x))


def zero(*x: float) -> Minimum:
    """Return a minimum of 0, as the paper lists it."""
    return Minimum(0.0, x, 0.0)


@dataclass(frozen=True)
class Problem:
    """f(x) = Σᵢ rᵢ(x)², i = 1 … m, for x of n elements, in float64."""

    number: int
    """The one of the function in the paper."""
    name: str
    m: int
    residuals: Callable[[Tensor], Tensor]
    start: tuple[float, ...]
    minima: tuple[Minimum, ...]
    """The lowest first."""

    @property
    def n(self) -> int:
        return len(self.start)

    @property
    def label(self) -> str:
        return f"{self.number:02d} {self.name} n={self.n}"

    @property
    def x0(self) -> Tensor:
        return torch.tensor(self.start, dtype=torch.float64)

    def fun(self, x: Tensor) -> Tensor:
        return self.residuals(x).square().sum()

    @property
    def f0(self) -> float:
        return float(self.fun(self.x0))
