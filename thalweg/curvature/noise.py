"""The gradient noise scale: how large a batch is before its gradient is mostly signal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.curvature.of_model import HessianMatrix
from thalweg.curvature.trace import Estimate
from thalweg.errors import DataError


@dataclass(frozen=True)
class NoiseScale:
    """B = tr Σ / ‖G‖², Σ the covariance of the gradient of one row, G the mean gradient; in rows.

    `numerator` and `denominator` are the estimates of both, averaged apart; `scale` their ratio, NaN where
    the denominator is not positive: then the noise drowns the gradient in these batches.
    """

    scale: Estimate
    numerator: Estimate
    denominator: Estimate
    rows: int


def noise_scale(
    model: nn.Module, loss: Any, data: Any, *, most: int = 64, training: bool | None = None
) -> NoiseScale:
    """Return the gradient noise scale of a model's loss from the gradients of its batches.

        ‖G‖² = (K·b·‖ḡ‖² − b·mean‖gₖ‖²) / (K·b − b),  tr Σ = (mean‖gₖ‖² − ‖ḡ‖²) / (1/b − 1/(K·b))

    gₖ are the gradients of K batches of b rows, ḡ is their mean. Both are unbiased for independent rows;
    their ratio is taken at the end, since a mean of ratios is not. Standard errors by the jackknife over
    batches. Batches of fewer rows than the largest, as a last one, are left out. It reads at most `most`
    batches, keeps a gradient of each, and costs one gradient of their rows.

    Raises:
        DataError: for fewer than 3 batches of one size.

    Example:
        >>> import torch
        >>> from thalweg import curvature
        >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
        >>> batches = [(rows, rows.sum(1, keepdim=True)) for rows in x.split(8)]
        >>> found = curvature.noise_scale(torch.nn.Linear(3, 1), "mse", batches)
        >>> found.scale.value > 0
        True

    Source: McCandlish and others, An Empirical Model of Large-Batch Training, 2018, appendix A.
    """
    operator = HessianMatrix(model, loss, data, training=training)
    found = operator.batch_gradients(most)
    rows = max((size for size, _ in found), default=0)
    kept = [g.double() for size, g in found if size == rows]
    if len(kept) < 3:
        raise DataError(
            f"The noise scale needs at least 3 batches of one size; the data have {len(kept)} of {rows} "
            "rows. Cut them into smaller batches."
        )
    return _noise(torch.stack(kept), rows, operator.gradients)


def _noise(g: Tensor, rows: int, spent: float) -> NoiseScale:
    squares, total, k = g.square().sum(1), g.sum(0), len(g)
    top, bottom = _parts(squares.sum(), total, k, rows)
    ratio = top / bottom if bottom > 0 else math.nan
    left = [_parts(squares.sum() - squares[i], total - g[i], k - 1, rows) for i in range(k)]
    each = torch.tensor(left, dtype=torch.float64)
    ratios = each[:, 0] / each[:, 1]
    error = _jackknife(ratios) if bool((each[:, 1] > 0).all()) else math.inf
    return NoiseScale(
        Estimate(ratio, error, 0, spent, k),
        Estimate(top, _jackknife(each[:, 0]), 0, spent, k),
        Estimate(bottom, _jackknife(each[:, 1]), 0, spent, k),
        rows,
    )


def _parts(squares: Tensor, total: Tensor, k: int, rows: int) -> tuple[float, float]:
    """Return tr Σ and ‖G‖² from the sum of ‖gₖ‖² and the sum of gₖ."""
    small, large = float(squares) / k, float((total / k).square().sum())
    return (small - large) / (1 / rows - 1 / (k * rows)), (k * large - small) / (k - 1)


def _jackknife(values: Tensor) -> float:
    k = len(values)
    return math.sqrt((k - 1) / k * float((values - values.mean()).square().sum()))
