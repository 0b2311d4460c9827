"""Rules with more than one memory of past gradients, and rates that each weight learns."""

from __future__ import annotations

import math

import numpy as np

from ..reference import Array, State, moments
from .decay import decayed

Triple = tuple[float, float, float]


@decayed("proximal")
def adan(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Triple = (0.98, 0.92, 0.99),
    eps: float = 1e-8,
) -> Array:
    """Xie et al. 2022, algorithm 1, in the paper's own coefficients b = 1 − β.

    The three averages are corrected for their bias, as in the authors' code.
    """
    b1, b2, b3 = (1.0 - beta for beta in betas)
    difference = g - s.get("g", g)
    m = s["m"] = (1.0 - b1) * s.get("m", 0.0) + b1 * g
    v = s["v"] = (1.0 - b2) * s.get("v", 0.0) + b2 * difference
    n = s["n"] = (1.0 - b3) * s.get("n", 0.0) + b3 * (g + (1.0 - b2) * difference) ** 2
    s["g"] = g
    m_hat, v_hat, n_hat = (
        average / (1.0 - (1.0 - b) ** t) for average, b in ((m, b1), (v, b2), (n, b3))
    )
    eta = lr / (np.sqrt(n_hat) + eps)
    return w - eta * (m_hat + (1.0 - b2) * v_hat)


def half_life_schedule(start: float, end: float, fraction: float) -> float:
    """The decay rate on the way from `start` to `end` whose half-life grows linearly.

    The half-life of β is ln ½/ln β, so 1/ln β is interpolated; past the end the rate stays.
    """
    fraction = min(fraction, 1.0)
    return math.exp(1.0 / ((1.0 - fraction) / math.log(start) + fraction / math.log(end)))


@decayed()
def ademamix(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Triple = (0.9, 0.999, 0.9999),
    alpha: float = 5.0,
    warmup: float = 0.0,
    eps: float = 1e-8,
) -> Array:
    """Pagliardini, Ablin & Grangier 2024, algorithm 1: Adam with a second, slow momentum.

    α and β₃ grow over `warmup` steps, β₃ from β₁ on, as section 3 of the paper schedules them.
    """
    beta1, beta2, beta3 = betas
    m_hat, v_hat = moments(g, s, t, (beta1, beta2))
    if warmup > 0.0:
        alpha = alpha * min(t / warmup, 1.0)
        beta3 = half_life_schedule(beta1, beta3, t / warmup)
    slow = s["slow"] = beta3 * s.get("slow", 0.0) + (1.0 - beta3) * g
    return w - lr * (m_hat + alpha * slow) / (np.sqrt(v_hat) + eps)


@decayed()
def mars(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: tuple[float, float] = (0.95, 0.99),
    gamma: float = 0.025,
    eps: float = 1e-8,
) -> Array:
    """Yuan et al. 2024, MARS-AdamW in its approximate form.

    c = g_t + γ·β₁/(1 − β₁)·(g_t − g_{t−1}), scaled down to norm 1, instead of Adam's gradient.
    """
    beta1, _ = betas
    c = g + gamma * beta1 / (1.0 - beta1) * (g - s.get("g", g))
    s["g"] = g
    norm = np.sqrt(np.sum(c**2))
    if norm > 1.0:
        c = c / norm
    m_hat, v_hat = moments(c, s, t, betas)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps)


@decayed("l2")
def delta_bar_delta(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    kappa: float = 1e-3,
    phi: float = 0.3,
    theta: float = 0.7,
) -> Array:
    """Jacobs 1988: each weight's rate grows by κ while δ̄(t − 1)·δ(t) > 0, else shrinks by φ.

    δ̄(t) = (1 − θ)·δ(t) + θ·δ̄(t − 1). The learning rate is where the rates start.
    """
    rate, average = s.get("rate", np.full_like(g, lr)), s.get("average", np.zeros_like(g))
    agreement = average * g
    change = np.where(agreement > 0.0, kappa, np.where(agreement < 0.0, -phi * rate, 0.0))
    s["rate"] = rate + change
    s["average"] = (1.0 - theta) * g + theta * average
    return w - s["rate"] * g
