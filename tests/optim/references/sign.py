"""Rules of which only the sign of the update is left."""

from __future__ import annotations

import numpy as np

from ..reference import Array, State
from .decay import decayed


@decayed()
def sign_sgd(w: Array, g: Array, s: State, *, t: int, lr: float) -> Array:
    """Bernstein et al. 2018, algorithm 1 (signSGD): w ← w − δ·sign(g)."""
    return w - lr * np.sign(g)


@decayed()
def signum(w: Array, g: Array, s: State, *, t: int, lr: float, beta: float = 0.9) -> Array:
    """Bernstein et al. 2018, algorithm 2 (SIGNUM): m ← βm + (1 − β)g; w ← w − δ·sign(m)."""
    m = s["m"] = beta * s.get("m", 0.0) + (1.0 - beta) * g
    return w - lr * np.sign(m)


@decayed()
def lion(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.99),
) -> Array:
    """Chen et al. 2023, algorithm 2: the sign of one interpolation, another one kept."""
    beta1, beta2 = betas
    m = s.get("m", np.zeros_like(g))
    c = beta1 * m + (1.0 - beta1) * g
    s["m"] = beta2 * m + (1.0 - beta2) * g
    return w - lr * np.sign(c)
