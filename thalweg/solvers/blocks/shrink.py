"""Soft thresholding, and sweeps of it: exact coordinate updates of least squares with an L1 penalty."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_threshold(x: Tensor, by: float) -> Tensor:
    """Return sign(x)·max(|x| − by, 0): each entry as much nearer to 0, and no further.

    >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-2.,  0.,  1.])
    """
    return x - x.clamp(-by, by)


def sweep(columns: Tensor, residual: Tensor, w: Tensor, penalty: float) -> None:
    """Minimize ½‖y − Σ_j w_j·a_j‖² + penalty·Σ|w_j| over each w_j in turn, for many y at once, in place.

    Args:
        columns: [n, m], the a_j as rows.
        residual: [k, m], y − Σ_j w_j·a_j of each of the k targets; it is kept up to date.
        w: [n, k], the coefficients.
        penalty: of the absolute values.
    """
    for a, old, square in zip(columns, w, (columns * columns).sum(1).tolist(), strict=True):
        if square == 0:
            new = torch.zeros_like(old)  # it explains nothing, so only its penalty counts
        else:
            new = soft_threshold(residual @ a + square * old, penalty) / square
        change = new - old
        residual -= change[:, None] * a
        old.copy_(new)
