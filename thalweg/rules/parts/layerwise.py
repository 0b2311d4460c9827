"""Scales of a whole update: normalised, by layer, by unit; and the cautious mask."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.engine import dimensions, mean, norm, rule, total


@rule
def normalize(u, *, eps=0.0, scope="tensor"):
    """Give each tensor's update the norm 1, or all of them together with `scope="all"`.

    update = u / (‖u‖ + ε),  0 where ‖u‖ = 0

    At the head of a chain this is normalised gradient descent (Nesterov 1984; Hazan, Levy and Shalev-Shwartz
    2015): only the direction of the gradient counts.
    """
    length = norm(u, scope=scope)
    return u * torch.where(length > 0, 1 / (length + eps), 0.0)


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
    biases and normalisation layers out; put them in a group of their own.
    """
    size, length = norm(p), norm(g)
    ratio = trust_coefficient * size / (length + weight_decay * size + eps)
    return torch.where((size > 0) & (length > 0), ratio, 1.0) * (g + weight_decay * p)


@rule
def centralize(g):
    """Gradient centralization (Yong et al. 2020, eq. 1): take the mean out of each output unit's gradient.

    update = g − mean(g) over each slice along the first dimension; vectors stay as they are

    Each row of a matrix, each filter of a convolution then keeps the sum of its weights.
    """
    has_units: Any = dimensions(g) > 1  # a number while the rule is traced
    return torch.where(has_units, g - mean(g, scope="unit"), g)


@rule
def clip_by_unit(u, p, *, clipping=0.01, eps=1e-3):
    """Adaptive gradient clipping (AGC; Brock et al. 2021, eq. 3): clip by the norm of the weights.

    u ← u·limit/‖u‖ where ‖u‖ > limit,  limit = λ·max(‖p‖, ε)

    A unit is a slice along the first dimension; a vector or a scalar is one unit.
    """
    length = norm(u, scope="unit")
    limit = clipping * torch.clamp(norm(p, scope="unit"), min=eps)
    return u * torch.where(length > limit, limit / length, 1.0)


@rule
def cautious(u, gradient):
    """Cautious mask (Liang et al. 2024): leave out where the update and the gradient disagree in sign.

    mask = 1 where u·gradient > 0, else 0
    update = u·mask·n / (Σ mask + 1),  n the number of elements of the tensor

    After `adam` this is C-Adam, after `lion` C-Lion. The authors' code divides by the mean of the mask, at
    least 1e-3, instead.
    """
    mask = torch.where(u * gradient > 0, 1.0, 0.0)
    return u * mask * (u.numel() / (total(mask) + 1))
