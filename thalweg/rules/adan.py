"""Adan: Nesterov's momentum in Adam, by differences of gradients."""

from __future__ import annotations

import torch

from thalweg.engine import rule

__all__ = ["adan"]


@rule
def adan(g, previous, m, v, n, *, t, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8):
    """Adan (Xie et al. 2022): Nesterov's look-ahead, estimated from the difference of two gradients.

        d = g − previous,  0 at the first step
        m ← β₁·m + (1 − β₁)·g                  m̂ = m / (1 − β₁ᵗ)
        v ← β₂·v + (1 − β₂)·d                  v̂ = v / (1 − β₂ᵗ)
        n ← β₃·n + (1 − β₃)·(g + β₂·d)²        n̂ = n / (1 − β₃ᵗ)
        update = (m̂ + β₂·v̂) / (√n̂ + ε)
        previous ← g

    Paper: Xie et al. 2022, "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models",
    algorithm 1, arXiv:2208.06677.
    Defaults: of the authors' code. Its βs are 1 minus the paper's: 0.98, 0.92, 0.99 are 0.02, 0.08, 0.01. In
    most of the authors' experiments the learning rate is 5 to 10 times AdamW's.
    Use: when Adam works and a larger learning rate would be welcome; it keeps four states, Adam two.
    Deviations: the bias corrections are the authors' code's; the printed algorithm has none. The paper's
    weight decay is proximal, after the step: `decay_proximal`.
    """
    d = torch.where(t == 1, 0.0, g - previous)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * d
    look_ahead = g + beta2 * d
    n = beta3 * n + (1 - beta3) * look_ahead * look_ahead
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    n_hat = n / (1 - beta3**t)
    return (m_hat + beta2 * v_hat) / (torch.sqrt(n_hat) + eps), g, m, v, n
