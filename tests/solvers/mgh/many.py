"""The residuals of functions 20 to 35, of any number of variables, in the paper's symbols."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from .few import count

A = 1e-5
"""The paper's a, the weight of the smaller terms of both penalty functions."""


def watson(x: Tensor) -> Tensor:
    n = x.shape[0]
    powers = (count(29) / 29).unsqueeze(1) ** count(n, first=0)
    slope = powers[:, : n - 1] @ (count(n - 1) * x[1:])
    return torch.cat([slope - (powers @ x) ** 2 - 1, torch.stack([x[0], x[1] - x[0] ** 2 - 1])])


def extended_rosenbrock(x: Tensor) -> Tensor:
    odd, even = x[0::2], x[1::2]
    return torch.cat([10 * (even - odd**2), 1 - odd])


def extended_powell_singular(x: Tensor) -> Tensor:
    a, b, c, d = (x[k::4] for k in range(4))
    terms = [
        a + 10 * b,
        math.sqrt(5) * (c - d),
        (b - 2 * c) ** 2,
        math.sqrt(10) * (a - d) ** 2,
    ]
    return torch.cat(terms)


def penalty_1(x: Tensor) -> Tensor:
    return torch.cat([math.sqrt(A) * (x - 1), (x.square().sum() - 0.25).unsqueeze(0)])


def penalty_2(x: Tensor) -> Tensor:
    n = x.shape[0]
    i = count(n - 1, first=2)
    y = torch.exp(i / 10) + torch.exp((i - 1) / 10)
    e = torch.exp(x / 10)
    weighted = (torch.flip(count(n), (0,)) * x.square()).sum() - 1
    return torch.cat(
        [
            x[:1] - 0.2,
            math.sqrt(A) * (e[1:] + e[:-1] - y),
            math.sqrt(A) * (e[1:] - math.exp(-0.1)),
            weighted.unsqueeze(0),
        ]
    )


def variably_dimensioned(x: Tensor) -> Tensor:
    total = (count(x.shape[0]) * (x - 1)).sum()
    return torch.cat([x - 1, torch.stack([total, total**2])])


def trigonometric(x: Tensor) -> Tensor:
    n = x.shape[0]
    return n - torch.cos(x).sum() + count(n) * (1 - torch.cos(x)) - torch.sin(x)


def brown_almost_linear(x: Tensor) -> Tensor:
    n = x.shape[0]
    return torch.cat([x[:-1] + x.sum() - (n + 1), (x.prod() - 1).unsqueeze(0)])


def discrete_boundary_value(x: Tensor) -> Tensor:
    n = x.shape[0]
    h = 1 / (n + 1)
    t = h * count(n)
    ends = pad(x, (1, 1))  # x₀ = x_{n+1} = 0
    return 2 * x - ends[:-2] - ends[2:] + h**2 * (x + t + 1) ** 3 / 2


def discrete_integral_equation(x: Tensor) -> Tensor:
    n = x.shape[0]
    h = 1 / (n + 1)
    t = h * count(n)
    cube = (x + t + 1) ** 3
    below = torch.cumsum(t * cube, 0)
    right = (1 - t) * cube
    above = right.sum() - torch.cumsum(right, 0)
    return x + h * ((1 - t) * below + t * above) / 2


def broyden_tridiagonal(x: Tensor) -> Tensor:
    ends = pad(x, (1, 1))
    return (3 - 2 * x) * x - ends[:-2] - 2 * ends[2:] + 1


def broyden_banded(x: Tensor) -> Tensor:
    """Of the neighbours, five below and one above count."""
    n = x.shape[0]
    i = count(n)
    apart = i - i.unsqueeze(1)
    band = ((apart >= -5) & (apart <= 1) & (apart != 0)).to(x.dtype)
    return x * (2 + 5 * x**2) + 1 - band @ (x * (1 + x))


def linear_full_rank(x: Tensor, m: int) -> Tensor:
    return pad(x, (0, m - x.shape[0])) - 2 * x.sum() / m - 1


def linear_rank_1(x: Tensor, m: int) -> Tensor:
    return count(m) * (count(x.shape[0]) * x).sum() - 1


def linear_rank_1_zeros(x: Tensor, m: int) -> Tensor:
    """Rank 1, with columns and rows of zeros."""
    n = x.shape[0]
    inner = (count(n - 2, first=2) * x[1:-1]).sum()
    rows = torch.cat([count(m - 1, first=0), torch.zeros(1, dtype=torch.float64)])
    return rows * inner - 1


def chebyquad(x: Tensor) -> Tensor:
    """As many residuals as variables: means of the shifted Chebyshev polynomials, less their integrals."""
    n = x.shape[0]
    y = 2 * x - 1
    polynomials = [torch.ones_like(y), y]
    for _ in range(n - 1):
        polynomials.append(2 * y * polynomials[-1] - polynomials[-2])
    integrals = [0.0 if i % 2 else -1 / (i**2 - 1) for i in range(1, n + 1)]
    means = torch.stack(polynomials[1:]).mean(1)
    return means - torch.tensor(integrals, dtype=torch.float64)
