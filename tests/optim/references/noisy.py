"""Rules with noise; the noise, standard normal and of the gradient's shape, is given."""

from __future__ import annotations

import math

from ..reference import Array, State
from .decay import decayed


def gradient_noise(
    g: Array, noise: Array, *, t: int, eta: float = 0.3, gamma: float = 0.55
) -> Array:
    """Neelakantan et al. 2015, equation 1: noise of variance η/(1 + t)^γ, its t being t − 1."""
    variance = eta / (1.0 + (t - 1)) ** gamma
    return g + math.sqrt(variance) * noise


def langevin(x: Array, noise: Array, *, t: int, lr: float, temperature: float = 1.0) -> Array:
    """Welling & Teh 2011, equation 4: noise of variance ε after a step of ε/2 = lr."""
    epsilon = 2.0 * lr
    return x + math.sqrt(epsilon * temperature) * noise


@decayed("l2")
def sgld(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    noise: Array,
    temperature: float = 1.0,
    seed: int = 0,
) -> Array:
    """A gradient step and its noise; `seed` names the noise, which the caller has drawn."""
    return langevin(w - lr * g, noise, t=t, lr=lr, temperature=temperature)
