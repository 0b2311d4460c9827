"""Bounded problems with known minima: Hock and Schittkowski's (1981), and quadratics made from theirs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.solvers.quadratics import quadratic


@dataclass(frozen=True)
class Bounded:
    """A function with bounds, a start, and the value at the minimum that it leads to; HS2 has a lower one."""

    name: str
    fun: Callable[[Tensor], Tensor]
    low: Tensor
    high: Tensor
    start: Tensor
    lowest: float


def _numbers(values: object, n: int) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64).expand(n).clone()


def _made(
    name: str,
    fun: Callable[[Tensor], Tensor],
    bounds: tuple[object, object],
    start: list[float],
    lowest: float,
) -> Bounded:
    n = len(start)
    low, high = (_numbers(side, n) for side in bounds)
    return Bounded(name, fun, low, high, torch.tensor(start, dtype=torch.float64), lowest)


def rosenbrock(x: Tensor) -> Tensor:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def wood(x: Tensor) -> Tensor:
    return (
        rosenbrock(x[:2])
        + 90 * (x[3] - x[2] ** 2) ** 2
        + (1 - x[2]) ** 2
        + 10.1 * ((x[1] - 1) ** 2 + (x[3] - 1) ** 2)
        + 19.8 * (x[1] - 1) * (x[3] - 1)
    )


def logarithms(x: Tensor) -> Tensor:
    return ((x - 2).log() ** 2 + (10 - x).log() ** 2).sum() - x.prod() ** 0.2


def box(name: str, condition: float, forces: tuple[float, float], seed: int = 0) -> Bounded:
    """Return a quadratic of 50 variables in [−1, 1]: 25 end at a bound, with multipliers of these sizes.

    A force of 0 is a degenerate multiplier: the bound is met exactly, and does not push.
    """
    n = 50
    f = quadratic(n, condition, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    inside = 1.8 * torch.rand(n, generator=generator, dtype=torch.float64) - 0.9
    side = torch.where(torch.arange(n) % 4 < 2, 1.0, -1.0).double()
    at_bound = torch.arange(n) % 2 == 0
    x = torch.where(at_bound, side, inside)
    spread = torch.rand(n, generator=generator, dtype=torch.float64)
    force = forces[0] + (forces[1] - forces[0]) * spread
    g = torch.where(at_bound, -side * force, 0.0)  # downhill is out of the box

    def fun(point: Tensor) -> Tensor:
        apart = point - x
        return apart @ (f.A @ apart) / 2 + g @ apart

    return _made(name, fun, (-1.0, 1.0), [0.0] * n, 0.0)


def plateau(x: Tensor) -> Tensor:
    """Saturates: Σ tanh((x − c)²/4), c = (2, −2, …), whose slope is 1e-7 at a distance of 6."""
    centre = torch.tensor([2.0, -2.0], dtype=x.dtype).repeat(len(x) // 2)
    return torch.tanh((x - centre).square() / 4).sum() + 1e-3 * x.square().sum()


def _second_minimum() -> float:
    """Return Rosenbrock's value at the lowest root of its derivative on x₂ = 1.5, 400x³ − 598x − 2."""
    third = 598 / 1200
    angle = math.acos(1 / (400 * third**1.5)) / 3 - 4 * math.pi / 3
    x = 2 * math.sqrt(third) * math.cos(angle)
    return 100 * (1.5 - x**2) ** 2 + (1 - x) ** 2


INFINITE = math.inf
SQUARES = [float(i) for i in range(1, 6)]
HS110 = -45.77846970744629

PROBLEMS = [
    _made(
        "HS1: Rosenbrock, no bound active", rosenbrock, ([-INFINITE, -1.5], INFINITE), [-2, 1], 0.0
    ),
    _made(
        "HS2: Rosenbrock on a bound",
        rosenbrock,
        ([-INFINITE, 1.5], INFINITE),
        [-2, 1],
        _second_minimum(),
    ),
    _made("Rosenbrock, x₁ ≤ ½", rosenbrock, (-INFINITE, [0.5, INFINITE]), [-1.2, 1], 0.25),
    _made(
        "HS3",
        lambda x: x[1] + 1e-5 * (x[1] - x[0]) ** 2,
        ([-INFINITE, 0.0], INFINITE),
        [10, 1],
        0.0,
    ),
    _made(
        "HS4", lambda x: (x[0] + 1) ** 3 / 3 + x[1], ([1.0, 0.0], INFINITE), [1.125, 0.125], 8 / 3
    ),
    _made(
        "HS5",
        lambda x: (x[0] + x[1]).sin() + (x[0] - x[1]) ** 2 - 1.5 * x[0] + 2.5 * x[1] + 1,
        ([-1.5, -3.0], [4.0, 3.0]),
        [0, 0],
        -math.sqrt(3) / 2 - math.pi / 3,
    ),
    _made("HS38: Wood", wood, (-10.0, 10.0), [-3, -1, -3, -1], 0.0),
    _made("HS45", lambda x: 2 - x.prod() / 120, (0.0, SQUARES), [0.5, 1, 1.5, 2, 2.5], 1.0),
    _made("HS110", logarithms, (2.001, 9.999), [9.0] * 10, HS110),
    box("box, condition 100", 100.0, (0.1, 10.0)),
    box("box, condition 1e5", 1e5, (0.1, 10.0)),
    box("box, weak and strong multipliers", 1e3, (1e-6, 100.0)),
    box("box, degenerate", 100.0, (0.0, 0.0)),
    box("box, degenerate, condition 1e4", 1e4, (0.0, 0.0)),
    _made(
        "plateau",
        plateau,
        ([-10.0, -1.0] * 3, [1.0, 10.0] * 3),
        [-4.0, 4.0] * 3,
        6 * math.tanh(0.25) + 6e-3,
    ),
]
