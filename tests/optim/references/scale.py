"""Rules that set the size of an update by norms: of a tensor, of an output unit, of the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..reference import Array, State, moments
from .decay import INSIDE, decayed


def norm(x: Array) -> float:
    """Euclidean norm of an array as one vector."""
    return float(np.linalg.norm(np.ravel(x)))


def norm_of_all(xs: Sequence[Array]) -> float:
    """Euclidean norm of arrays as one vector."""
    return norm(np.concatenate([np.ravel(x) for x in xs]))


@decayed(INSIDE)
def lamb(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Array:
    """You et al. 2020, algorithm 2, φ the identity; the ratio is 1 where a norm is zero."""
    m_hat, v_hat = moments(g, s, t, betas)
    u = m_hat / (np.sqrt(v_hat) + eps) + weight_decay * w
    of_w, of_u = norm(w), norm(u)
    ratio = of_w / of_u if of_w > 0.0 and of_u > 0.0 else 1.0
    return w - lr * ratio * u


@decayed(INSIDE)
def lars(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    momentum: float = 0.9,
    trust_coefficient: float = 1e-3,
    eps: float = 0.0,
    weight_decay: float = 0.0,
) -> Array:
    """You, Gitman & Ginsburg 2017, algorithm 1: the local rate η‖w‖/(‖g‖ + λ‖w‖) in the velocity.

    Where w or g is zero, the local rate is 1.
    """
    of_w, of_g = norm(w), norm(g)
    local = 1.0
    if of_w > 0.0 and of_g > 0.0:
        local = trust_coefficient * of_w / (of_g + weight_decay * of_w + eps)
    v = s["v"] = momentum * s.get("v", 0.0) + lr * local * (g + weight_decay * w)
    return w - v


def normalize(u: Array, *, eps: float = 0.0) -> Array:
    """u/(‖u‖ + ε), and 0 where u is 0."""
    return u / (norm(u) + eps) if norm(u) > 0.0 else np.zeros_like(u)


def normalize_all(us: Sequence[Array], *, eps: float = 0.0) -> list[Array]:
    """Normalize arrays as one vector."""
    length = norm_of_all(us)
    return [u / (length + eps) if length > 0.0 else np.zeros_like(u) for u in us]


def clip_by_value(u: Array, max_value: float) -> Array:
    """Bring every element into [−max_value, max_value]."""
    return np.minimum(np.maximum(u, -max_value), max_value)


def clip_by_norm(u: Array, max_norm: float) -> Array:
    """Scale down to norm `max_norm` what is longer (Pascanu, Mikolov & Bengio 2013)."""
    return u * (max_norm / norm(u)) if norm(u) > max_norm else u


def clip_by_global_norm(us: Sequence[Array], max_norm: float) -> list[Array]:
    """Clip arrays as one vector."""
    length = norm_of_all(us)
    return [u * (max_norm / length) if length > max_norm else u for u in us]


def centralize(g: Array) -> Array:
    """Yong et al. 2020, equation 1: every output unit's gradient less its mean."""
    if g.ndim < 2:
        return g
    return np.stack([unit - np.mean(unit) for unit in g])


def clip_by_unit(u: Array, w: Array, *, clipping: float = 0.01, eps: float = 1e-3) -> Array:
    """Brock et al. 2021, equation 3 (AGC), unit by unit; a bias vector is one unit.

    u ← λ·‖w‖*/‖u‖·u where ‖u‖/‖w‖* > λ, with ‖w‖* = max(‖w‖, ε).
    """

    def clipped(u: Array, w: Array) -> Array:
        allowed = clipping * max(norm(w), eps)
        return u * (allowed / norm(u)) if norm(u) > allowed else u

    if u.ndim < 2:
        return clipped(u, w)
    return np.stack([clipped(*pair) for pair in zip(u, w, strict=True)])


def cautious(u: Array, g: Array) -> Array:
    """Liang et al. 2024, algorithm 1: keep what agrees with the gradient, scale up by d/(‖φ‖₀ + 1)."""
    agrees = u * g > 0.0
    return np.where(agrees, u, 0.0) * (u.size / (np.count_nonzero(agrees) + 1))
