"""Parts of chains: ascent, clipping, LAMB's trust ratio."""

from __future__ import annotations

import torch

from thalweg.engine import norm, rule


@rule(of_gradient=True)
def negate(g):
    """Turn descent into ascent: update = −g. At the head of a chain it maximizes the objective."""
    return -g


@rule
def clip_by_value(u, *, max_value):
    """Clip every element to [−c, c].

    update = min(max(u, −c), c)
    """
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
    """LAMB (You et al. 2020): each tensor's update, scaled to the norm of its parameter.

        u ← u + λ·p
        update = u·‖p‖/‖u‖,  u where either norm is zero

    u is the update of the rule before it: after `adam` this is LAMB with φ(z) = z.

    Paper: You et al. 2020, "Large Batch Optimization for Deep Learning: Training BERT in 76 Minutes",
    algorithm 2, arXiv:1904.00962.
    Defaults: Adam's, with the ε = 1e-6 that is common for LAMB.
    Use: for very large batches of transformers, with a warm-up; on small ones Adam does as well.
    Deviations: φ(z) = z, as in most implementations; the weight decay is inside the ratio, as in the paper.
    Implementations commonly leave biases and normalisation layers out; put them in a group of their own.
    """
    u = u + weight_decay * p
    size, length = norm(p), norm(u)
    return u * torch.where((size > 0) & (length > 0), size / length, 1.0)
