"""The residuals of functions 1 to 19, of a fixed number of variables, in the paper's symbols."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import data


def count(m: int, first: int = 1) -> Tensor:
    """Return first, first + 1, … , m numbers."""
    return torch.arange(first, first + m, dtype=torch.float64)


def rosenbrock(x: Tensor) -> Tensor:
    x1, x2 = x.unbind()
    return torch.stack([10 * (x2 - x1**2), 1 - x1])


def freudenstein_roth(x: Tensor) -> Tensor:
    x1, x2 = x.unbind()
    return torch.stack([-13 + x1 + ((5 - x2) * x2 - 2) * x2, -29 + x1 + ((x2 + 1) * x2 - 14) * x2])


def powell_badly_scaled(x: Tensor) -> Tensor:
    x1, x2 = x.unbind()
    return torch.stack([1e4 * x1 * x2 - 1, torch.exp(-x1) + torch.exp(-x2) - 1.0001])


def brown_badly_scaled(x: Tensor) -> Tensor:
    x1, x2 = x.unbind()
    return torch.stack([x1 - 1e6, x2 - 2e-6, x1 * x2 - 2])


def beale(x: Tensor) -> Tensor:
    x1, x2 = x.unbind()
    return torch.stack([1.5 - x1 * (1 - x2), 2.25 - x1 * (1 - x2**2), 2.625 - x1 * (1 - x2**3)])


def jennrich_sampson(x: Tensor) -> Tensor:
    i = count(10)
    return 2 + 2 * i - (torch.exp(i * x[0]) + torch.exp(i * x[1]))


def helical_valley(x: Tensor) -> Tensor:
    """The paper's θ, arctan(x₂/x₁)/2π plus ½ where x₁ < 0: the angle in turns, from -¼ to ¾."""
    x1, x2, x3 = x.unbind()
    turns = torch.atan2(x2, x1) / (2 * math.pi)
    theta = turns + (turns < -0.25).to(turns.dtype)
    return torch.stack([10 * (x3 - 10 * theta), 10 * (torch.sqrt(x1**2 + x2**2) - 1), x3])


def bard(x: Tensor) -> Tensor:
    x1, x2, x3 = x.unbind()
    u = count(15)
    v = 16 - u
    return data.BARD_Y - (x1 + u / (v * x2 + torch.minimum(u, v) * x3))


def gaussian(x: Tensor) -> Tensor:
    x1, x2, x3 = x.unbind()
    t = (8 - count(15)) / 2
    return x1 * torch.exp(-x2 * (t - x3) ** 2 / 2) - data.GAUSSIAN_Y


def meyer(x: Tensor) -> Tensor:
    x1, x2, x3 = x.unbind()
    t = 45 + 5 * count(16)
    return x1 * torch.exp(x2 / (t + x3)) - data.MEYER_Y


def gulf(x: Tensor) -> Tensor:
    """With |y - x₂|, where the paper's table of functions, by a misprint, has a product of four factors."""
    x1, x2, x3 = x.unbind()
    t = count(99) / 100
    y = 25 + (-50 * torch.log(t)) ** (2 / 3)
    return torch.exp(-(torch.abs(y - x2) ** x3) / x1) - t


def box(x: Tensor) -> Tensor:
    x1, x2, x3 = x.unbind()
    t = 0.1 * count(10)
    return torch.exp(-t * x1) - torch.exp(-t * x2) - x3 * (torch.exp(-t) - torch.exp(-10 * t))


def powell_singular(x: Tensor) -> Tensor:
    x1, x2, x3, x4 = x.unbind()
    return torch.stack(
        [
            x1 + 10 * x2,
            math.sqrt(5) * (x3 - x4),
            (x2 - 2 * x3) ** 2,
            math.sqrt(10) * (x1 - x4) ** 2,
        ]
    )


def wood(x: Tensor) -> Tensor:
    x1, x2, x3, x4 = x.unbind()
    return torch.stack(
        [
            10 * (x2 - x1**2),
            1 - x1,
            math.sqrt(90) * (x4 - x3**2),
            1 - x3,
            math.sqrt(10) * (x2 + x4 - 2),
            (x2 - x4) / math.sqrt(10),
        ]
    )


def kowalik_osborne(x: Tensor) -> Tensor:
    x1, x2, x3, x4 = x.unbind()
    u = data.KOWALIK_OSBORNE_U
    return data.KOWALIK_OSBORNE_Y - x1 * (u**2 + u * x2) / (u**2 + u * x3 + x4)


def brown_dennis(x: Tensor) -> Tensor:
    x1, x2, x3, x4 = x.unbind()
    t = count(20) / 5
    return (x1 + t * x2 - torch.exp(t)) ** 2 + (x3 + x4 * torch.sin(t) - torch.cos(t)) ** 2


def osborne_1(x: Tensor) -> Tensor:
    x1, x2, x3, x4, x5 = x.unbind()
    t = 10 * count(33, first=0)
    return data.OSBORNE_1_Y - (x1 + x2 * torch.exp(-t * x4) + x3 * torch.exp(-t * x5))


def biggs(x: Tensor) -> Tensor:
    x1, x2, x3, x4, x5, x6 = x.unbind()
    t = 0.1 * count(13)
    y = torch.exp(-t) - 5 * torch.exp(-10 * t) + 3 * torch.exp(-4 * t)
    return x3 * torch.exp(-t * x1) - x4 * torch.exp(-t * x2) + x6 * torch.exp(-t * x5) - y


def osborne_2(x: Tensor) -> Tensor:
    t = count(65, first=0) / 10
    peaks = [x[k + 1] * torch.exp(-((t - x[k + 8]) ** 2) * x[k + 5]) for k in range(3)]
    return data.OSBORNE_2_Y - (x[0] * torch.exp(-t * x[4]) + sum(peaks))
