"""Learning-rate-free rules: the step size comes from distances and gradients of the whole model."""

from __future__ import annotations

import math

import numpy as np

from ..reference import Array, State
from .decay import INSIDE, decayed_model
from .scale import norm_of_all

Betas = tuple[float, float]


def distance_over_gradients(
    ws: list[Array], gs: list[Array], s: State, *, lr: float, relative: float, eps: float
) -> list[Array]:
    """r̄_t/√(G_t + ε): r̄_t the largest distance so far, G_t the sum of the squared norms."""
    starts = s.setdefault("starts", ws)
    distances = s.setdefault("distances", [relative * (1.0 + norm_of_all(ws))])
    squares = s.setdefault("squares", [])
    distances.append(norm_of_all([w - start for w, start in zip(ws, starts, strict=True)]))
    squares.append(norm_of_all(gs) ** 2)
    eta = max(distances) / math.sqrt(sum(squares) + eps)
    return [w - lr * eta * g for w, g in zip(ws, gs, strict=True)]


@decayed_model("l2")
def dog(
    ws: list[Array],
    gs: list[Array],
    s: State,
    *,
    t: int,
    lr: float,
    relative: float = 1e-6,
    eps: float = 1e-8,
    layerwise: bool = False,
) -> list[Array]:
    """Ivgi, Hinder & Carmon 2023: DoG, or with `layerwise` LDoG, every array by itself."""
    options = {"lr": lr, "relative": relative, "eps": eps}
    if not layerwise:
        return distance_over_gradients(ws, gs, s, **options)
    layers = s.setdefault("layers", [{} for _ in ws])
    return [
        distance_over_gradients([w], [g], layer, **options)[0]
        for w, g, layer in zip(ws, gs, layers, strict=True)
    ]


def zeros(ws: list[Array]) -> list[Array]:
    return [np.zeros_like(w) for w in ws]


def average(beta: float, before: list[Array], now: list[Array]) -> list[Array]:
    """An exponential average of each array."""
    return [beta * a + (1.0 - beta) * b for a, b in zip(before, now, strict=True)]


def inner(xs: list[Array], ys: list[Array]) -> float:
    return float(sum(np.sum(x * y) for x, y in zip(xs, ys, strict=True)))


def grown(d: float, estimate: float, growth_rate: float) -> float:
    """Raise a lower bound of the distance to its estimate, by the factor `growth_rate` at most."""
    return max(d, min(estimate, growth_rate * d))


@decayed_model(INSIDE)
def prodigy(
    ws: list[Array],
    gs: list[Array],
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    d0: float = 1e-6,
    d_coef: float = 1.0,
    growth_rate: float = math.inf,
    weight_decay: float = 0.0,
) -> list[Array]:
    """Mishchenko & Defazio 2023, algorithm 4 (Prodigy, Adam version), with γ_k = lr.

    The decay of the authors' package is Adam's, decoupled, of the rate lr·d: −lr·d·λ·w.
    """
    beta1, beta2 = betas
    beta3 = math.sqrt(beta2)
    starts, d = s.setdefault("starts", ws), s.get("d", d0)
    m = s["m"] = average(beta1, s.get("m", zeros(ws)), [d * g for g in gs])
    v = s["v"] = average(beta2, s.get("v", zeros(ws)), [(d * g) ** 2 for g in gs])
    gap = [start - w for start, w in zip(starts, ws, strict=True)]
    s["r"] = beta3 * s.get("r", 0.0) + (1.0 - beta3) * lr * d**2 * inner(gs, gap)
    s["s"] = average(beta3, s.get("s", zeros(ws)), [lr * d**2 * g for g in gs])
    length = sum(np.sum(np.abs(x)) for x in s["s"])
    s["d"] = grown(d, d_coef * s["r"] / length, growth_rate) if length > 0.0 else d
    return [
        w - lr * d * (a / (np.sqrt(b) + d * eps) + weight_decay * w)
        for w, a, b in zip(ws, m, v, strict=True)
    ]


@decayed_model(INSIDE)
def d_adapt_adam(
    ws: list[Array],
    gs: list[Array],
    s: State,
    *,
    t: int,
    lr: float,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    d0: float = 1e-6,
    growth_rate: float = math.inf,
    weight_decay: float = 0.0,
) -> list[Array]:
    """Defazio & Mishchenko 2023, algorithm 5 (D-Adapt Adam), s and r averaged with √β₂.

    ⟨g, s⟩ is weighted by 1/(√v + ε) with the v of this step and the s of the step before. The decay
    of the authors' package is Adam's, decoupled, of the rate lr·d: −lr·d·λ·w.
    """
    beta1, beta2 = betas
    beta3 = math.sqrt(beta2)
    d = s.get("d", d0)
    m = s["m"] = average(beta1, s.get("m", zeros(ws)), [d * lr * g for g in gs])
    v = s["v"] = average(beta2, s.get("v", zeros(ws)), [g**2 for g in gs])
    scale = [np.sqrt(b) + eps for b in v]
    before = s.get("s", zeros(ws))
    weighted = inner(gs, [x / a for x, a in zip(before, scale, strict=True)])
    s["r"] = beta3 * s.get("r", 0.0) + (1.0 - beta3) * d * lr * weighted
    s["s"] = average(beta3, before, [d * lr * g for g in gs])
    length = (1.0 - beta3) * sum(np.sum(np.abs(x)) for x in s["s"])
    s["d"] = grown(d, s["r"] / length, growth_rate) if length > 0.0 else d
    return [w - x / a - lr * d * weight_decay * w for w, x, a in zip(ws, m, scale, strict=True)]
