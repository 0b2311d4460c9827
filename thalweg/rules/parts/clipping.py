"""Clipping: of elements, of a tensor, of all tensors, of each unit."""

from __future__ import annotations

import torch

from thalweg.engine import norm, rule

__all__ = ["clip_by_global_norm", "clip_by_norm", "clip_by_unit", "clip_by_value"]


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
def clip_by_unit(u, p, *, clipping=0.01, eps=1e-3):
    """Adaptive gradient clipping (AGC; Brock et al. 2021, eq. 3): clip by the norm of the weights.

    u ← u·limit/‖u‖ where ‖u‖ > limit,  limit = λ·max(‖p‖, ε)

    A unit is a slice along the first dimension; a vector or a scalar is one unit.
    """
    length = norm(u, scope="unit")
    limit = clipping * torch.clamp(norm(p, scope="unit"), min=eps)
    return u * torch.where(length > limit, limit / length, 1.0)
