"""Rules that divide a momentum by a root of a second moment."""

from __future__ import annotations

import numpy as np

from ..reference import Array, State, moments
from .decay import decayed

Betas = tuple[float, float]


def raw_moments(g: Array, s: State, betas: Betas) -> tuple[Array, Array]:
    """Both moments of Adam, not corrected for their bias."""
    beta1, beta2 = betas
    s["m"] = beta1 * s.get("m", 0.0) + (1.0 - beta1) * g
    s["v"] = beta2 * s.get("v", 0.0) + (1.0 - beta2) * g**2
    return s["m"], s["v"]


@decayed()
def adabelief(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-16,
) -> Array:
    """Zhuang et al. 2020, algorithm 2: s is the moment of (g − m)², ε enters it at every step."""
    beta1, beta2 = betas
    m = s["m"] = beta1 * s.get("m", 0.0) + (1.0 - beta1) * g
    belief = s["s"] = beta2 * s.get("s", 0.0) + (1.0 - beta2) * (g - m) ** 2 + eps
    m_hat, s_hat = m / (1.0 - beta1**t), belief / (1.0 - beta2**t)
    return w - lr * m_hat / (np.sqrt(s_hat) + eps)


@decayed()
def adopt(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.9999),
    eps: float = 1e-6,
    power: float = 0.25,
    clip: bool = True,
) -> Array:
    """Taniguchi et al. 2024, algorithm 2: g₀ only starts v, so its step k is our t − 1."""
    if "v" not in s:
        s["v"], s["m"] = g**2, np.zeros_like(g)
        return w
    beta1, beta2 = betas
    bound = float(t - 1) ** power if clip else np.inf
    scaled = np.clip(g / np.maximum(np.sqrt(s["v"]), eps), -bound, bound)
    s["m"] = beta1 * s["m"] + (1.0 - beta1) * scaled
    s["v"] = beta2 * s["v"] + (1.0 - beta2) * g**2
    return w - lr * s["m"]


@decayed()
def yogi(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-3,
    initial: float = 1e-6,
    bias_correction: bool = False,
) -> Array:
    """Zaheer et al. 2018, algorithm 2: v moves towards g² by a part of g², not of the gap."""
    beta1, beta2 = betas
    before = s.get("v", np.full_like(g, initial))
    m = s["m"] = beta1 * s.get("m", 0.0) + (1.0 - beta1) * g
    v = s["v"] = before - (1.0 - beta2) * np.sign(before - g**2) * g**2
    if bias_correction:
        m, v = m / (1.0 - beta1**t), v / (1.0 - beta2**t)
    return w - lr * m / (np.sqrt(v) + eps)


@decayed()
def laprop(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-15,
) -> Array:
    """Ziyin, Wang & Ueda 2020, algorithm 1: normalized first, the momentum taken after."""
    mu, nu = betas
    n = s["n"] = nu * s.get("n", 0.0) + (1.0 - nu) * g**2
    normalised = g / (np.sqrt(n / (1.0 - nu**t)) + eps)
    m = s["m"] = mu * s.get("m", 0.0) + (1.0 - mu) * normalised
    return w - lr * m / (1.0 - mu**t)


@decayed()
def adabound(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    final_lr: float = 0.1,
    gamma: float = 1e-3,
) -> Array:
    """Luo et al. 2019, algorithm 2: Adam's rates clipped between bounds that meet at `final_lr`.

    As in the authors' code the rates are Adam's with bias correction, without the paper's 1/√t, and
    the bounds scale with lr against its first value that is not 0.
    """
    m, v = raw_moments(g, s, betas)
    base = s["base"] = s.get("base", 0.0) or lr
    final = final_lr * lr / base if lr != 0.0 else 0.0
    lower, upper = final * (1.0 - 1.0 / (gamma * t + 1.0)), final * (1.0 + 1.0 / (gamma * t))
    alpha = lr * np.sqrt(1.0 - betas[1] ** t) / (1.0 - betas[0] ** t)
    return w - np.minimum(np.maximum(alpha / (np.sqrt(v) + eps), lower), upper) * m


@decayed()
def nadamw(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    ahead: bool = True,
) -> Array:
    """Dozat 2016, algorithm 2, the momentum μ_t = β₁ at every step.

    The code of AlgoPerf corrects the bias of m as that of g, not one step `ahead`.
    """
    beta1, beta2 = betas
    m, n = raw_moments(g, s, betas)
    corrected = m / (1.0 - beta1 ** (t + int(ahead)))
    m_hat = beta1 * corrected + (1.0 - beta1) * g / (1.0 - beta1**t)
    return w - lr * m_hat / (np.sqrt(n / (1.0 - beta2**t)) + eps)


@decayed("l2")
def amsgrad_paper(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    """Reddi, Kale & Kumar 2018, algorithm 2: no bias corrections; ε against a division by zero."""
    m, v = raw_moments(g, s, betas)
    v_hat = s["v_max"] = np.maximum(s.get("v_max", 0.0), v)
    return w - lr * m / (np.sqrt(v_hat) + eps)


@decayed("l2")
def amsgrad_unbiased(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    """AMSGrad with the maximum taken over the second moments after their bias correction."""
    m_hat, v_hat = moments(g, s, t, betas)
    s["v_max"] = np.maximum(s.get("v_max", 0.0), v_hat)
    return w - lr * m_hat / (np.sqrt(s["v_max"]) + eps)


@decayed("l2")
def adam_hat(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    """Kingma & Ba 2015, end of section 2: α_t = α·√(1 − β₂ᵗ)/(1 − β₁ᵗ), and ε̂ beside √v."""
    m, v = raw_moments(g, s, betas)
    alpha = lr * np.sqrt(1.0 - betas[1] ** t) / (1.0 - betas[0] ** t)
    return w - alpha * m / (np.sqrt(v) + eps)


@decayed("l2")
def amsgrad_hat(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    """AMSGrad with ε̂ and α_t of Kingma & Ba, the maximum over v as it is, as in Keras."""
    m, v = raw_moments(g, s, betas)
    s["v_max"] = np.maximum(s.get("v_max", 0.0), v)
    alpha = lr * np.sqrt(1.0 - betas[1] ** t) / (1.0 - betas[0] ** t)
    return w - alpha * m / (np.sqrt(s["v_max"]) + eps)


@decayed("l2")
def adamax_outside(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    """Kingma & Ba 2015, algorithm 2, with ε where u divides, as in Keras."""
    beta1, beta2 = betas
    m = s["m"] = beta1 * s.get("m", 0.0) + (1.0 - beta1) * g
    u = s["u"] = np.maximum(beta2 * s.get("u", 0.0), np.abs(g))
    return w - lr / (1.0 - beta1**t) * m / (u + eps)


@decayed("l2")
def nadam_of_keras(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    """Dozat 2016, algorithm 2, with μ_t = β₁·(1 − ½·0.96ᵗ): the schedule that Keras has."""
    beta1, beta2 = betas
    m, n = raw_moments(g, s, betas)
    now, ahead = (beta1 * (1.0 - 0.5 * 0.96**k) for k in (t, t + 1))
    past = s.setdefault("mu", [])
    past.append(now)
    m_hat = ahead * m / (1.0 - np.prod([*past, ahead])) + (1.0 - now) * g / (1.0 - np.prod(past))
    return w - lr * m_hat / (np.sqrt(n / (1.0 - beta2**t)) + eps)
