"""MARS: Adam on gradients of reduced variance."""

from __future__ import annotations

import torch

from thalweg.engine import norm, rule

__all__ = ["mars"]


@rule
def mars(g, previous, m, v, *, t, beta1=0.95, beta2=0.99, gamma=0.025, eps=1e-8):
    """MARS (Yuan et al. 2024): Adam on a gradient that is corrected by the one before, and clipped.

        c = g + γ·β₁/(1 − β₁)·(g − previous),  g at the first step
        c ← c / max(1, ‖c‖)                    ‖c‖ of each tensor
        m ← β₁·m + (1 − β₁)·c                  m̂ = m / (1 − β₁ᵗ)
        v ← β₂·v + (1 − β₂)·c²                 v̂ = v / (1 − β₂ᵗ)
        update = m̂ / (√v̂ + ε)
        previous ← g

    Paper: Yuan et al. 2024, "MARS: Unleashing the Power of Variance Reduction for Training Large Models",
    MARS-AdamW, arXiv:2411.10438.
    Defaults: β₁, β₂, γ of the authors' code.
    Use: when Adam works and batches are noisy, as in training language models; it keeps three states, Adam
    two.
    Deviations: `previous` is the gradient of the batch before, as in the paper's approximate version; its
    exact version takes the gradient of the present batch at the point before, a second backward pass. The
    authors' code starts from previous = 0, and steps all but matrices by plain AdamW unless told otherwise.
    """
    c = torch.where(t == 1, g, g + gamma * beta1 / (1 - beta1) * (g - previous))
    c = c / torch.clamp(norm(c), min=1.0)
    m = beta1 * m + (1 - beta1) * c
    v = beta2 * v + (1 - beta2) * c * c
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return m_hat / (torch.sqrt(v_hat) + eps), g, m, v
