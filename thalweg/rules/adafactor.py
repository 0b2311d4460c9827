"""Adafactor: the scale of a matrix from the means of its rows and columns."""

from __future__ import annotations

import torch

from thalweg.engine import EachColumn, EachRow, mean, mean_of_columns, mean_of_rows, rule

__all__ = ["adafactor", "adafactor_vector", "average_steps"]

PRECISION = {
    name: torch.finfo(getattr(torch, name)).eps
    for name in ("float16", "bfloat16", "float32", "float64")
}
"""The relative precision of each dtype."""


def _rms(x):
    return torch.sqrt(mean(x * x))


def _update(g, p, v, t, lr, eps1, eps2, d, eps_inside, constant):
    """Return the update of algorithm 4 from a second moment."""
    u = g / torch.sqrt(v if eps_inside else torch.clamp(v, min=eps1 * eps1))
    u = u / torch.clamp(_rms(u) / d, min=1.0)
    u = torch.clamp(_rms(p), min=eps2) * u
    # min(lr, 1/√t) is lr divided by this, also for lr = 0
    return u if constant else u / torch.clamp(lr * torch.sqrt(t), min=1.0)


@rule(matrices="last")
def adafactor(
    g, p, r: EachRow, c: EachColumn, *, t, lr, beta2_decay=-0.8, eps1=1e-30, eps2=1e-3, d=1.0,
    precision="", eps_inside=False, constant=False,
):  # fmt: skip
    """Adafactor (Shazeer and Stern 2018, algorithms 4 and 6): a second moment of two vectors.

        β̂₂ = 1 − t^τ,   q = g²,  or g² + ε₁ with `eps_inside`
        r ← β̂₂·r + (1 − β̂₂)·mean of q over each row;   c ← the same over each column
        v = r·c / mean(r)
        u = g / √v;     u ← u / max(1, RMS(u)/d)
        update = max(ε₂, RMS(p)) · u · min(lr, 1/√t)/lr,  without the last factor with `constant`

    Without `eps_inside` ε₁ is the least of √v and of mean(r), as in PyTorch. With `precision`, the name of a
    dtype, ε₁ is the precision of that. More than two dimensions are a batch of matrices in the last two.
    """
    eps1 = PRECISION[precision] if precision else eps1
    weight = t**beta2_decay  # 1 − β̂₂
    squares = g * g + eps1 if eps_inside else g * g
    r = (1 - weight) * r + weight * mean_of_rows(squares)
    c = (1 - weight) * c + weight * mean_of_columns(squares)
    # r·c alone would leave the range of float32
    v = r * (c / (mean(r) if eps_inside else torch.clamp(mean(r), min=eps1)))
    return _update(g, p, v, t, lr, eps1, eps2, d, eps_inside, constant), r, c


@rule
def adafactor_vector(
    g, p, v, *, t, lr, beta2_decay=-0.8, eps1=1e-30, eps2=1e-3, d=1.0,
    precision="", eps_inside=False, constant=False,
):  # fmt: skip
    """Adafactor of a vector, which keeps a full second moment (Shazeer and Stern 2018, algorithm 5).

    v ← β̂₂·v + (1 − β̂₂)·q,  and the rest as in `adafactor`
    """
    eps1 = PRECISION[precision] if precision else eps1
    weight = t**beta2_decay
    v = (1 - weight) * v + weight * (g * g + eps1 if eps_inside else g * g)
    return _update(g, p, v, t, lr, eps1, eps2, d, eps_inside, constant), v


@rule(lr_inside=True)
def average_steps(u, m, *, lr, beta1=0.9):
    """Momentum over whole steps, as in Adafactor with β₁ (Shazeer and Stern 2018): no bias correction.

    m ← β₁·m + (1 − β₁)·lr·u;   p ← p − m
    """
    m = beta1 * m + (1 - beta1) * lr * u
    return m, m
