"""Parts of chains: signs, decay, clipping, normalisation."""

from __future__ import annotations

import torch

from thalweg.engine import norm, rule


@rule
def negate(g):
    """Turn descent into ascent: update = −g. At the head of a chain it maximizes the objective."""
    return -g


@rule
def l2(g, p, *, weight_decay):
    """Add the gradient of ½·λ·‖p‖² to the gradient: update = g + λ·p.

    What comes after it in a chain sees the penalty as part of the objective.
    """
    return g + weight_decay * p


@rule
def decay(u, p, *, weight_decay):
    """Decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2): update = u + λ·p.

    At the end of a chain the parameter shrinks by 1 − lr·λ, whatever the rule before it made of the
    gradient.
    """
    return u + weight_decay * p


@rule
def clip_by_value(u, *, max_value):
    """Clip every element to [−c, c]."""
    return torch.clamp(u, -max_value, max_value)


@rule
def clip_by_norm(u, *, max_norm):
    """Scale each tensor's update down to norm c where it is longer (Pascanu et al. 2013, algorithm 1).

    u ← u·c/‖u‖ if ‖u‖ > c
    """
    length = norm(u)
    return u * torch.where(length > max_norm, max_norm / length, 1.0)


@rule
def clip_by_global_norm(u, *, max_norm):
    """Scale all updates together down to norm c: ‖u‖ is the norm over all tensors of the step.

    u ← u·c/‖u‖ if ‖u‖ > c

    As `torch.nn.utils.clip_grad_norm_`, but the gradients stay as they are.
    """
    length = norm(u, scope="all")
    return u * torch.where(length > max_norm, max_norm / length, 1.0)


@rule
def trust_ratio(u, p, *, weight_decay=0.0):
    """Scale each tensor's update to the norm of its parameter (You et al. 2020, algorithm 2: LAMB).

        u ← u + λ·p
        update = u·‖p‖/‖u‖,  u where either norm is zero

    `chain(adam(), trust_ratio(0.01))` is LAMB with φ(z) = z.
    """
    u = u + weight_decay * p
    size, length = norm(p), norm(u)
    return u * torch.where((size > 0) & (length > 0), size / length, 1.0)
