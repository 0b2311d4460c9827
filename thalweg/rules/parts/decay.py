"""Weight decay in each of its meanings."""

from __future__ import annotations

import torch

from thalweg.engine import rule

__all__ = ["decay", "decay_cautiously", "decay_independent", "decay_proximal", "l2"]


@rule(of_gradient=True)
def l2(g, p, *, weight_decay):
    """Add the gradient of ½·λ·‖p‖² to the gradient: update = g + λ·p.

    What comes after it in a chain sees the penalty as part of the objective.
    """
    return g + weight_decay * p


@rule(after_step=True)
def decay(x, p, *, lr, weight_decay):
    """Decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2): x ← x − lr·λ·p.

    The parameter shrinks by 1 − lr·λ, whatever the rule before it made of the gradient.
    """
    return x - lr * weight_decay * p


@rule(after_step=True)
def decay_independent(x, p, *, weight_decay):
    """Decoupled weight decay that does not depend on the learning rate: x ← x − λ·p.

    This is how Loshchilov and Hutter (2019, algorithm 2) print it, with λ times a schedule of its own; λ is
    smaller than that of `decay` by the learning rate.
    """
    return x - weight_decay * p


@rule(after_step=True)
def decay_cautiously(x, p, *, lr, weight_decay):
    """Cautious weight decay (Chen et al. 2025, arXiv:2510.12402): decay only what the step does not grow.

    x ← x − lr·λ·p where (p − x)·p ≥ 0

    There the step and the decay agree in sign, or the step is 0. The decay then does not resist the
    objective.
    """
    return torch.where((p - x) * p >= 0, x - lr * weight_decay * p, x)


@rule(after_step=True)
def decay_proximal(x, *, lr, weight_decay):
    """Weight decay as a proximal step (Zhuang et al. 2022, arXiv:2202.00089): x ← x / (1 + lr·λ).

    It is the implicit step on ½·λ·‖x‖², after the step on the loss; Adan's paper decays so.
    """
    return x / (1 + lr * weight_decay)
