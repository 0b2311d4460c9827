"""Steps in proportion to the norm of each layer's weights: LAMB's trust ratio, LARS."""

from __future__ import annotations

import torch

from thalweg.engine import norm, rule

__all__ = ["lars", "trust_ratio"]


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
    Implementations commonly leave biases and normalization layers out; put them in a group of their own.
    """
    u = u + weight_decay * p
    size, length = norm(p), norm(u)
    return u * torch.where((size > 0) & (length > 0), size / length, 1.0)


@rule
def lars(g, p, *, weight_decay=0.0, trust_coefficient=1e-3, eps=0.0):
    """LARS (You, Gitman and Ginsburg 2017): each layer's step is a fixed part of its weights' norm.

        update = η·‖p‖ / (‖g‖ + λ·‖p‖ + ε) · (g + λ·p),  g + λ·p where ‖p‖ = 0 or ‖g‖ = 0

    `chain(lars(), heavy_ball())` is the paper's algorithm, whose momentum has the learning rate inside.

    Paper: You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks", algorithm 1,
    arXiv:1708.03888.
    Defaults: η = 0.001 of the paper, with a learning rate far larger than SGD's.
    Use: for SGD on very large batches, with a warm-up; not on small ones. For the Adam of large batches,
    LAMB, see `trust_ratio`.
    Deviations: where a norm is 0 there is no ratio, and the step is SGD's. Implementations commonly leave
    biases and normalization layers out; put them in a group of their own.
    """
    size, length = norm(p), norm(g)
    ratio = trust_coefficient * size / (length + weight_decay * size + eps)
    return torch.where((size > 0) & (length > 0), ratio, 1.0) * (g + weight_decay * p)
