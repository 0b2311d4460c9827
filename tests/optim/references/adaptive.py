"""Rates for each coordinate, where the books and other libraries differ from PyTorch."""

from __future__ import annotations

import numpy as np

from ..reference import Array, State
from .decay import decayed


@decayed("l2")
def adagrad_inside(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    lr_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Array:
    """Duchi, Hazan & Singer 2011 with ε under the root, as in Keras and Optax."""
    r = s["r"] = s.get("r", initial_accumulator_value) + g**2
    return w - lr / (1.0 + lr_decay * (t - 1)) * g / np.sqrt(r + eps)


@decayed("l2")
def rmsprop_centered(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
) -> Array:
    """Graves 2013, equations 38 to 41: ε beside the variance n − g², under the root."""
    n = s["n"] = alpha * s.get("n", 0.0) + (1.0 - alpha) * g**2
    mean = s["g"] = alpha * s.get("g", 0.0) + (1.0 - alpha) * g
    delta = s["delta"] = momentum * s.get("delta", 0.0) - lr * g / np.sqrt(n - mean**2 + eps)
    return w + delta


@decayed("l2")
def nesterov_rmsprop(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    rho: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.9,
) -> Array:
    """Goodfellow et al. 2016, algorithm 8.6, in its two points, with δ of algorithm 8.5.

    `w` is the look-ahead point θ̃ = θ + μv, where the gradient is taken; returned is the next one.
    """
    v = s.get("v", np.zeros_like(g))
    theta = w - momentum * v
    r = s["r"] = rho * s.get("r", 0.0) + (1.0 - rho) * g**2
    v = s["v"] = momentum * v - lr / np.sqrt(eps + r) * g
    theta = theta + v
    return theta + momentum * v
