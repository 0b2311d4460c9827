"""Averaged SGD."""

from __future__ import annotations

import torch

from thalweg.engine import Scalar, rule

__all__ = ["asgd"]


@rule(lr_inside=True)
def asgd(g, p, ax, eta: Scalar = 0.0, mu: Scalar = 1.0, *, t, lr, lambd=1e-4, alpha=0.75, t0=1e6):
    """Averaged SGD (Polyak and Juditsky 1992, with the step sizes of Bottou's implementation).

        p ← (1 − λ·ηₜ)·p − ηₜ·g,          η₁ = lr,  ηₜ₊₁ = lr / (1 + λ·lr·t)^α
        ax ← ax + μₜ·(p − ax),            μ₁ = 1,   μₜ₊₁ = 1 / max(1, t − t₀)

    `ax` is the average, to be used in place of the parameter at the end.
    """
    eta = torch.where(t == 1, lr, eta)
    step = eta * (g + lambd * p)
    moved = p - step
    ax = torch.where(mu == 1, moved, ax + mu * (moved - ax))
    eta = lr / (1 + lambd * lr * t) ** alpha
    mu = 1 / torch.clamp(t - t0, min=1.0)
    return step, ax, eta, mu


@asgd.evaluated_at
def _(ax):
    return ax
