"""Normalized, centralized, masked and negated updates."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.engine import dimensions, mean, norm, rule, total

__all__ = ["cautious", "centralize", "negate", "normalize"]


@rule(of_gradient=True)
def negate(g):
    """Turn descent into ascent: update = −g. At the head of a chain it maximizes the objective."""
    return -g


@rule
def normalize(u, *, eps=0.0, scope="tensor"):
    """Give each tensor's update the norm 1, or all of them together with `scope="all"`.

    update = u / (‖u‖ + ε),  0 where ‖u‖ = 0

    At the head of a chain this is normalized gradient descent (Nesterov 1984; Hazan, Levy and Shalev-Shwartz
    2015): only the direction of the gradient counts.
    """
    length = norm(u, scope=scope)
    return u * torch.where(length > 0, 1 / (length + eps), 0.0)


@rule
def centralize(g):
    """Gradient centralization (Yong et al. 2020, eq. 1): take the mean out of each output unit's gradient.

    update = g − mean(g) over each slice along the first dimension; vectors stay as they are

    Each row of a matrix, each filter of a convolution then keeps the sum of its weights.
    """
    has_units: Any = dimensions(g) > 1  # a number while the rule is traced
    return torch.where(has_units, g - mean(g, scope="unit"), g)


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
