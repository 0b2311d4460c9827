"""ADOPT: Adam that scales a gradient by those before it."""

from __future__ import annotations

import torch

from thalweg.engine import rule

__all__ = ["adopt"]


@rule
def adopt(g, m, v, *, t, beta1=0.9, beta2=0.9999, eps=1e-6, power=0.25, clip=True):
    """ADOPT (Taniguchi et al. 2024): Adam that scales each gradient by those before it, then averages.

        n = g / max(√v, ε),  its elements clipped to [−c, c],  c = (t − 1)^power
        m ← β₁·m + (1 − β₁)·n
        update = m
        v ← β₂·v + (1 − β₂)·g²

    In step 1 v ← g², and nothing moves. Without `clip` n is not clipped.

    The gradient is no part of the v that divides it. So it converges for every β₂, where Adam needs one that
    is close enough to 1 for the problem.

    Paper: Taniguchi et al. 2024, "ADOPT: Modified Adam Can Converge with Any β₂ with the Optimal Rate",
    NeurIPS 2024, algorithm 2, arXiv:2411.02853.
    Defaults: the paper's: β₁ = 0.9, β₂ = 0.9999, ε = 1e-6, and c the fourth root of the number of steps that
    have moved. Its learning rates are Adam's.
    Use: instead of Adam where gradients are noisy and Adam is sensitive to β₂. Where gradients shrink its
    steps are far shorter than Adam's at the same learning rate, since v remembers the first for long.
    Deviations: weight decay acts in step 1, too; the authors' code skips all of it. pytorch_optimizer clips
    to the fourth root of t, one step further.
    """
    c = torch.clamp(t - 1, min=1.0) ** power
    n = g / torch.clamp(torch.sqrt(v), min=eps)
    n = torch.where(n > c, c, torch.where(n < -c, -c, n)) if clip else n
    m = torch.where(t == 1, 0.0, beta1 * m + (1 - beta1) * n)
    v = torch.where(t == 1, g * g, beta2 * v + (1 - beta2) * g * g)
    return m, m, v
