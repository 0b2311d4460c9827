"""Update rules written out in NumPy float64, each from its paper, without PyTorch.

Each function is one step for one array: `step(w, g, s, *, t, lr, …) -> w`, where `w` are the
parameters, `g` the gradient, `s` the state (a dictionary, empty before the first step), `t` the
number of the step from 1 and `lr` the learning rate of this step. Every function also takes
`maximize` (ascend: g ← −g) and, unless the paper says otherwise, `weight_decay` (an L2 penalty: g ←
g + weight_decay·w). Names and defaults of the hyperparameters are PyTorch's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = dict[str, Any]
Step = Callable[..., Array]


def descent(step: Step) -> Step:
    """Add `maximize` to a step."""

    @functools.wraps(step)
    def wrapped(w: Array, g: Array, s: State, *, maximize: bool = False, **options: Any) -> Array:
        return step(w, -g if maximize else g, s, **options)

    wrapped.options = {**getattr(step, "options", {}), "maximize": False}
    return wrapped


def penalized(step: Step) -> Step:
    """Add `maximize` and an L2 penalty of gradient weight_decay·w to a step."""

    @descent
    @functools.wraps(step)
    def wrapped(
        w: Array, g: Array, s: State, *, weight_decay: float = 0.0, **options: Any
    ) -> Array:
        return step(w, g + weight_decay * w, s, **options)

    wrapped.options = {**wrapped.options, "weight_decay": 0.0}
    return wrapped


@penalized
def sgd(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 1e-3,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> Array:
    """Goodfellow et al. 2016, algorithms 8.1 to 8.3: v ← μv − lr·g; w ← w + v.

    With `nesterov`, `w` is the look-ahead point θ̃ = θ + μv at which the gradient is taken. From θ'
    = θ + v' follows θ̃' = θ' + μv' = (θ̃ − μv) + v' + μv' = θ̃ − lr·g + μv'.
    """
    v = s["v"] = momentum * s.get("v", 0.0) - lr * g
    return w + momentum * v - lr * g if nesterov else w + v


@penalized
def adagrad(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Array:
    """Duchi, Hazan & Singer 2011: r ← r + g²; w ← w − lr·g / (δ + √r).

    The rate may decay as 1/(1 + ct).
    """
    r = s["r"] = s.get("r", initial_accumulator_value) + g**2
    return w - lr / (1.0 + lr_decay * (t - 1)) * g / (eps + np.sqrt(r))


@penalized
def rmsprop(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
) -> Array:
    """Goodfellow et al. 2016, algorithms 8.5 and 8.6: δ under the root, lr inside v."""
    r = s["r"] = alpha * s.get("r", 0.0) + (1.0 - alpha) * g**2
    v = s["v"] = momentum * s.get("v", 0.0) - lr * g / np.sqrt(eps + r)
    return w + v


def moments(g: Array, s: State, t: int, betas: tuple[float, float]) -> tuple[Array, Array]:
    """Both moments of Kingma & Ba 2015, algorithm 1, corrected for their bias."""
    beta1, beta2 = betas
    m = s["m"] = beta1 * s.get("m", 0.0) + (1.0 - beta1) * g
    v = s["v"] = beta2 * s.get("v", 0.0) + (1.0 - beta2) * g**2
    return m / (1.0 - beta1**t), v / (1.0 - beta2**t)


@penalized
def adam(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    """Kingma & Ba 2015, algorithm 1."""
    m_hat, v_hat = moments(g, s, t, betas)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps)


@descent
def adamw(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Array:
    """Loshchilov & Hutter 2019, algorithm 2, the decay multiplied by the learning rate."""
    m_hat, v_hat = moments(g, s, t, betas)
    return w - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * w)


@penalized
def adamax(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    """Kingma & Ba 2015, algorithm 2; `eps` keeps the norm above zero, as in the authors' code."""
    beta1, beta2 = betas
    m = s["m"] = beta1 * s.get("m", 0.0) + (1.0 - beta1) * g
    u = s["u"] = np.maximum(beta2 * s.get("u", 0.0), np.abs(g) + eps)
    return w - lr / (1.0 - beta1**t) * m / u


@penalized
def adadelta(
    w: Array, g: Array, s: State, *, t: int, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6
) -> Array:
    """Zeiler 2012, algorithm 1, with RMS[x] = √(E[x²] + ε) and a learning rate (1 in the paper)."""
    square = s["square"] = rho * s.get("square", 0.0) + (1.0 - rho) * g**2
    delta = -np.sqrt(s.get("delta", 0.0) + eps) / np.sqrt(square + eps) * g
    s["delta"] = rho * s.get("delta", 0.0) + (1.0 - rho) * delta**2
    return w + lr * delta


def nadam_direction(
    g: Array, s: State, t: int, betas: tuple[float, float], eps: float, momentum_decay: float
) -> Array:
    """Dozat 2016, algorithm 2, with the warm-up of the momentum that it proposes."""
    beta1, beta2 = betas

    def mu(t: int) -> float:
        return beta1 * (1.0 - 0.5 * 0.96 ** (t * momentum_decay))

    m = s["m"] = beta1 * s.get("m", 0.0) + (1.0 - beta1) * g
    n = s["n"] = beta2 * s.get("n", 0.0) + (1.0 - beta2) * g**2
    product = s["product"] = s.get("product", 1.0) * mu(t)
    m_hat = mu(t + 1) * m / (1.0 - product * mu(t + 1)) + (1.0 - mu(t)) * g / (1.0 - product)
    return m_hat / (np.sqrt(n / (1.0 - beta2**t)) + eps)


@descent
def nadam(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
) -> Array:
    """Nesterov-accelerated Adam, its weight decay in the gradient or apart from it."""
    if decoupled_weight_decay:
        w = w - lr * weight_decay * w
    else:
        g = g + weight_decay * w
    return w - lr * nadam_direction(g, s, t, betas, eps, momentum_decay)


@penalized
def radam(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    tractable: float = 5.0,
) -> Array:
    """Liu et al. 2020, algorithm 2.

    The authors' code asks ρ_t > 5 where the paper writes 4, and adds ε to √v.
    """
    beta1, beta2 = betas
    m = s["m"] = beta1 * s.get("m", 0.0) + (1.0 - beta1) * g
    v = s["v"] = beta2 * s.get("v", 0.0) + (1.0 - beta2) * g**2
    rho_inf = 2.0 / (1.0 - beta2) - 1.0
    rho = rho_inf - 2.0 * t * beta2**t / (1.0 - beta2**t)
    m_hat = m / (1.0 - beta1**t)
    if rho <= tractable:
        return w - lr * m_hat
    adaptive = np.sqrt(1.0 - beta2**t) / (np.sqrt(v) + eps)
    rectification = np.sqrt(
        (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)
    )
    return w - lr * rectification * m_hat * adaptive


@penalized
def asgd(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 1e-2,
    lambd: float = 1e-4,
    alpha: float = 0.75,
    t0: float = 1e6,
) -> Array:
    """Bottou 2010, averaged SGD: η = lr/(1 + λ·lr·t)^α, and the average from t0 on.

    The average is in s["average"]. The rate used at step t + 1 is fixed at step t, from that step's
    lr.
    """
    eta, mu = s.get("eta", lr), s.get("mu", 1.0)
    w = (1.0 - lambd * eta) * w - eta * g
    s["average"] = s.get("average", 0.0) + mu * (w - s.get("average", 0.0))
    s["eta"] = lr / (1.0 + lambd * lr * t) ** alpha
    s["mu"] = 1.0 / max(1.0, t - t0)
    return w


@descent
def rprop(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float = 1e-2,
    etas: tuple[float, float] = (0.5, 1.2),
    step_sizes: tuple[float, float] = (1e-6, 50.0),
) -> Array:
    """Igel & Hüsken 2000, iRprop⁻: after a change of sign the step shrinks and g counts as zero."""
    agreement = g * s.get("g", 0.0)
    factor = np.where(agreement > 0, etas[1], np.where(agreement < 0, etas[0], 1.0))
    size = s["size"] = np.clip(s.get("size", lr) * factor, *step_sizes)
    g = s["g"] = np.where(agreement < 0, 0.0, g)
    return w - np.sign(g) * size
