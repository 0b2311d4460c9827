"""Problems with known answers: quadratics, a logistic regression, and functions without a minimum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Quadratic:
    """f(x) = ½ (x − c)ᵀ A (x − c) + low, A positive definite with eigenvalues from 1 to `condition`."""

    A: Tensor
    c: Tensor
    low: float

    def __call__(self, x: Tensor) -> Tensor:
        apart = x - self.c
        return apart @ (self.A @ apart) / 2 + self.low


def quadratic(n: int, condition: float, seed: int = 0, low: float = 0.0) -> Quadratic:
    """Return one with eigenvalues spread evenly in their logarithms, in random directions."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, n, generator=generator, dtype=torch.float64)
    directions, _ = torch.linalg.qr(noise)
    exponents = torch.linspace(0, 1, n, dtype=torch.float64)
    A = directions @ torch.diag(condition**exponents) @ directions.mT
    c = torch.randn(n, generator=generator, dtype=torch.float64)
    return Quadratic((A + A.mT) / 2, c, low)


def logistic(
    rows: int = 200, n: int = 8, decay: float = 1e-2, seed: int = 0
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return a logistic regression with weight decay, and its optimum by Newton's method.

    f(w) = mean log(1 + exp(−yᵢ xᵢᵀw)) + ½ decay ‖w‖². It is strictly convex; its gradient and its Hessian
    are written out.
    """
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(rows, n, generator=generator, dtype=torch.float64)
    truth = torch.randn(n, generator=generator, dtype=torch.float64)
    chance = torch.rand(rows, generator=generator, dtype=torch.float64)
    y = torch.where(chance < torch.sigmoid(X @ truth), 1.0, -1.0).to(torch.float64)

    def fun(w: Tensor) -> Tensor:
        losses = torch.nn.functional.softplus(-y * (X @ w))
        return losses.mean() + decay / 2 * w.square().sum()

    w = torch.zeros(n, dtype=torch.float64)
    for _ in range(50):
        p = torch.sigmoid(-y * (X @ w))
        gradient = -(X.mT @ (y * p)) / rows + decay * w
        hessian = X.mT @ ((p * (1 - p)).unsqueeze(1) * X) / rows + decay * torch.eye(n).double()
        w = w - torch.linalg.solve(hessian, gradient)
    return fun, w


def saddle(x: Tensor) -> Tensor:
    """x₁² + x₂⁴/4 − x₂²/2: a saddle at 0, minima of −¼ at (0, ±1)."""
    return x[0] ** 2 + x[1] ** 4 / 4 - x[1] ** 2 / 2


def unbounded(x: Tensor) -> Tensor:
    """Falls without end along x₁."""
    return -x[0] + x[1] ** 2


def log_barrier(x: Tensor) -> Tensor:
    """100 x − 10 log x, NaN for x < 0 and infinite at 0; its minimum is at x = 0.1.

    From 0.5 the first steps of most methods lead out of its domain.
    """
    return (100 * x - 10 * torch.log(x)).sum()


LOG_BARRIER_START = (0.5,)
