"""What a solver's own work costs: updates and directions, without the function.

The objective costs nearly nothing (a gradient that is one product by a vector). SciPy's and torch's solvers
run as they are, a few iterations on it, so that theirs includes a line search; of ours are timed the update
with one pair and the direction after it, and the whole of `minimize` for each iteration.

    python benchmarks/solvers_speed.py           about 2 minutes
    python benchmarks/solvers_speed.py --quick   small sizes
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from _contest import Contestant, Neighbours, contest, print_table
from torch import Tensor

from thalweg.solvers import minimize
from thalweg.solvers.direction.bfgs import BFGS
from thalweg.solvers.direction.broyden import FAMILIES
from thalweg.solvers.direction.lbfgs import LBFGS


class Quadratic(torch.autograd.Function):
    """½Σcᵢxᵢ² with its gradient c·x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, c: Tensor) -> Tensor:
        g = c * x
        ctx.save_for_backward(g)
        return torch.dot(g, x) / 2

    @staticmethod
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor, None]:
        (g,) = ctx.saved_tensors
        return g * out, None


class Own:
    """The directions of ours: one update and one direction a call, on pairs that are made beforehand."""

    def __init__(self, direction: Any, n: int, dtype: torch.dtype, pairs: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.direction = direction
        self.steps = [torch.randn(1, n, generator=generator, dtype=dtype) for _ in range(pairs)]
        self.curvature = 0.5 + torch.rand(1, n, generator=generator, dtype=dtype)
        self.g = self.curvature * self.steps[0]
        self.state = direction.init(self.steps[0], self.g)
        self.at = 0
        self.seconds = 0.0
        self.calls = 0

    def __call__(self) -> None:
        s = self.steps[self.at % len(self.steps)]
        y = self.curvature * s
        g = self.g.add_(y) if self.at % 2 else self.g.sub_(y)
        sign = 1 if self.at % 2 else -1
        start = time.perf_counter()
        self.state = self.direction.update(self.state, sign * s, sign * y)
        _, self.state = self.direction.propose(self.state, g, None)
        self.seconds += time.perf_counter() - start
        self.calls += 1
        self.at += 1
