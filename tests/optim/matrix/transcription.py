"""Muon and NorMuon transcribed to NumPy, one matrix, as the papers write them; float64 throughout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

ADJUST: dict[str, Callable[[int, int], float]] = {
    "original": lambda r, c: float(np.sqrt(max(1.0, r / c))),
    "match_rms_adamw": lambda r, c: 0.2 * float(np.sqrt(max(r, c))),
    "spectral": lambda r, c: float(np.sqrt(r / c)),
    "none": lambda r, c: 1.0,
}


def quintic(x: Array, steps: int, a: float, b: float, c: float, eps: float = 0.0) -> Array:
    """Orthogonalize by a Newton-Schulz iteration, of a tall matrix from the other side."""
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (np.sqrt((x * x).sum()) + eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + b * gram @ x + c * gram @ gram @ x
    return x.T if tall else x


def muon(
    p: Array,
    gradients: list[Array],
    *,
    lr: float = 1e-3,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    adjust: str = "original",
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    m = np.zeros_like(p)
    for g in gradients:
        m = momentum * m + (1 - momentum) * g
        u = momentum * m + (1 - momentum) * g if nesterov else m
        update = ADJUST[adjust](*p.shape) * quintic(u, ns_steps, *ns_coefficients)
        p = p - lr * weight_decay * p - lr * update
    return p, m


COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def muon_of_keras(
    p: Array,
    gradients: list[Array],
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> Array:
    """Keras 3.15.1: the momentum is a sum, and the decay comes first."""
    m = np.zeros_like(p)
    for g in gradients:
        p = p - p * weight_decay * lr
        m = m + (g + m * (momentum - 1))
        update = quintic(g + momentum * m if nesterov else m, 5, *COEFFICIENTS, eps=1e-7)
        p = p - lr * update * np.sqrt(max(p.shape)) * 0.2
    return p


def muon_of_optax(
    p: Array,
    gradients: list[Array],
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> Array:
    """Optax 0.2.8: both parts of Nesterov's momentum without their bias."""
    m = np.zeros_like(p)
    for t, g in enumerate(gradients, start=1):
        m = (1 - momentum) * g + momentum * m
        u = m / (1 - momentum**t)
        if nesterov:
            ahead, now = m / (1 - momentum ** (t + 1)), g / (1 - momentum**t)
            u = momentum * ahead + (1 - momentum) * now
        update = np.sqrt(max(1.0, p.shape[-1] / p.shape[-2])) * quintic(
            u, 5, *COEFFICIENTS, eps=1e-8
        )
        p = p - lr * (update + weight_decay * p)
    return p


def normuon(
    p: Array,
    gradients: list[Array],
    *,
    lr: float = 1e-3,
    momentum: float = 0.95,
    beta2: float = 0.95,
    nesterov: bool = False,
    authors: bool = False,
) -> tuple[Array, Array]:
    m, v = np.zeros_like(p), np.zeros((p.shape[0], 1))
    rows, columns = p.shape
    for g in gradients:
        m = momentum * m + (1 - momentum) * g
        u = momentum * m + (1 - momentum) * g if nesterov else m
        o = quintic(u, 5, 3.4445, -4.7750, 2.0315)
        v = beta2 * v + (1 - beta2) * (o * o).mean(1, keepdims=True)
        n = o / (np.sqrt(v) + 1e-10)
        if authors:
            wanted = np.linalg.norm(o) * ADJUST["original"](rows, columns)
        else:
            wanted = 0.2 * np.sqrt(rows * columns)
        p = p - lr * wanted / np.linalg.norm(n) * n
    return p, v
