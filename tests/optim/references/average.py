"""Averages of the points, and the rules whose point is itself an average."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..reference import Array, State
from .decay import INSIDE, decayed


def lookahead(x: Array, w: Array, s: State, *, t: int, every: int = 5, alpha: float = 0.5) -> Array:
    """Zhang et al. 2019, algorithm 1: after `every` fast steps the slow weights follow.

    `w` is the point before the step and `x` the point to which it has led.
    """
    slow = s.setdefault("slow", w)
    if t % every != 0:
        return x
    s["slow"] = slow + alpha * (x - slow)
    return s["slow"]


def ema(x: Array, s: State, *, t: int, decay: float = 0.999, warmup: bool = False) -> Array:
    """Return the exponential average of the points, which starts at the first one."""
    if t == 1:
        s["average"] = x
        return x
    rate = min(decay, (1.0 + t) / (10.0 + t)) if warmup else decay
    s["average"] = rate * s["average"] + (1.0 - rate) * x
    return s["average"]


def mean_of_points(x: Array, s: State, taken: bool) -> Array:
    """Return the mean of all points taken so far, the point itself before the first."""
    points = s.setdefault("points", [])
    if taken:
        points.append(x)
    return np.mean(points, axis=0) if points else x


def polyak(x: Array, s: State, *, t: int, start: int = 0) -> Array:
    """Polyak & Juditsky 1992: the mean of the points of the steps start + 1 to t."""
    return mean_of_points(x, s, t > start)


def swa(x: Array, s: State, *, t: int, start: int = 0, every: int = 1) -> Array:
    """Izmailov et al. 2018, algorithm 1: the mean of every so many-th point after `start`."""
    return mean_of_points(x, s, t > start and (t - start) % every == 0)


def schedule_free(
    y: Array,
    s: State,
    direction: Callable[[Array], Array],
    *,
    t: int,
    lr: float,
    beta: float,
    r: float,
    power: float,
) -> Array:
    """Defazio et al. 2024, algorithm 1, in its three sequences; returns the next y.

    z ← z − γ·u(y);  x ← (1 − c)·x + c·z;  y = (1 − β)·z + β·x, where c is the weight tʳ·γ_maxᵖ of
    this step among those of all steps. `x`, the point to evaluate, is in s["x"].
    """
    x, z = s.get("x", y), s.get("z", y)
    s["lr_max"] = max(lr, s.get("lr_max", 0.0))
    weights = s.setdefault("weights", [])
    weights.append(t**r * s["lr_max"] ** power)
    c = weights[-1] / sum(weights) if sum(weights) > 0.0 else 0.0
    z = s["z"] = z - lr * direction(y)
    x = s["x"] = (1.0 - c) * x + c * z
    return (1.0 - beta) * z + beta * x


@decayed(INSIDE)
def schedule_free_sgd(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    beta: float = 0.9,
    r: float = 0.0,
    power: float = 2.0,
    weight_decay: float = 0.0,
) -> Array:
    """Schedule-Free SGD; `w` is y, where the gradient is taken and where the decay acts."""
    return schedule_free(
        w, s, lambda y: g + weight_decay * y, t=t, lr=lr, beta=beta, r=r, power=power
    )


@decayed(INSIDE)
def schedule_free_adamw(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    r: float = 0.0,
    power: float = 2.0,
    weight_decay: float = 0.0,
) -> Array:
    """Schedule-Free AdamW: β₁ is the interpolation, u = g/(√v̂ + ε) + λ·y."""
    beta1, beta2 = betas
    v = s["v"] = beta2 * s.get("v", 0.0) + (1.0 - beta2) * g**2
    u = g / (np.sqrt(v / (1.0 - beta2**t)) + eps)
    return schedule_free(
        w, s, lambda y: u + weight_decay * y, t=t, lr=lr, beta=beta1, r=r, power=power
    )
