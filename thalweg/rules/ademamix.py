"""AdEMAMix: Adam with a second, slow momentum."""

from __future__ import annotations

import torch

from thalweg.engine import rule

__all__ = ["ademamix"]


@rule
def ademamix(
    g, m1, m2, v, *, t, beta1=0.9, beta2=0.999, beta3=0.9999, alpha=5.0, warmup=0.0, eps=1e-8
):
    """AdEMAMix (Pagliardini, Ablin and Grangier 2024): Adam with a fast and a slow momentum.

        m₁ ← β₁·m₁ + (1 − β₁)·g                m̂₁ = m₁ / (1 − β₁ᵗ)
        m₂ ← β₃ₜ·m₂ + (1 − β₃ₜ)·g
        v ← β₂·v + (1 − β₂)·g²                 v̂ = v / (1 − β₂ᵗ)
        update = (m̂₁ + αₜ·m₂) / (√v̂ + ε)

    Over a warm-up of T steps α grows linearly, and so does the half-life of β₃, from that of β₁:

        αₜ = min(t/T, 1)·α
        β₃ₜ = min(exp(ln β₁·ln β₃ / ((1 − t/T)·ln β₃ + t/T·ln β₁)), β₃)

    Paper: Pagliardini, Ablin and Grangier 2024, "The AdEMAMix Optimizer: Better, Faster, Older", algorithm
    1, arXiv:2409.03137.
    Defaults: β₁, β₂, β₃ of the paper; α = 5 is one of the values it uses, the authors' code has 2. No
    warm-up, T = 0; the paper warms up over the whole training.
    Use: when training is long, tens of thousands of steps, and gradients stay relevant; not for short runs.
    A warm-up keeps the first steps stable.
    Deviations: one `warmup` stands for the paper's two times, T for α and T for β₃, which it sets equal.
    """
    done = t / torch.maximum(t, warmup)  # min(t/T, 1), also for T = 0
    alpha = done * alpha
    beta3 = torch.minimum(
        torch.exp(1 / ((1 - done) / torch.log(beta1) + done / torch.log(beta3))), beta3
    )
    m1 = beta1 * m1 + (1 - beta1) * g
    m2 = beta3 * m2 + (1 - beta3) * g
    v = beta2 * v + (1 - beta2) * g * g
    m1_hat = m1 / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return (m1_hat + alpha * m2) / (torch.sqrt(v_hat) + eps), m1, m2, v
