"""Targets whose rows weigh differently, and the loss of such a batch.

    L = Σᵢ wᵢ·lᵢ / Σᵢ wᵢ·dᵢ

lᵢ is the loss of an element, dᵢ what it counts in the mean that the loss takes: 1, or the weight of its
class, 0 where it is ignored. So a row of the whole weight n counts as n rows.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import DataError, TaskError
from thalweg.objective.nested import rows_of


@dataclass(frozen=True)
class Weighted:
    """Targets, and the weight of each row in the loss: numbers ≥ 0 of shape (rows,).

    Metrics count every row once.
    """

    targets: Any
    weights: Tensor


def unweighted(targets: Any) -> Any:
    """Return the targets without weights."""
    return targets.targets if isinstance(targets, Weighted) else targets


def count_rows(targets: Any, inputs: Any) -> int:
    """Return the number of rows in a batch; DataError where it cannot be told."""
    for value in (unweighted(targets), inputs):
        rows = rows_of(value)
        if rows is not None:
            return rows
    raise DataError(
        "A batch whose number of rows cannot be told: neither inputs nor targets hold a tensor."
    )


def check_weights(weights: Any, rows: int, where: str) -> None:
    """Raise DataError if `weights` are not weights of so many rows."""
    if not isinstance(weights, Tensor) or weights.is_complex() or tuple(weights.shape) != (rows,):
        got = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
        raise DataError(
            f"The weights of {where} must be one number for each row, of shape ({rows},); got {got}. "
            "The third part of a batch is the weights of its rows; several inputs are one tuple: "
            "((a, b), y)."
        )
    if rows and not (math.isfinite(float(weights.sum())) and float(weights.min()) >= 0):
        raise DataError(
            f"The weights of {where} must be finite numbers ≥ 0; got {_worst(weights):g}."
        )


def weigh_batch(targets: Any, weights: Any) -> Weighted:
    """Return the targets of a batch with the weights of its rows; DataError if they are none."""
    rows = rows_of(targets)
    check_weights(weights, rows or rows_of(weights) or 0, "a batch")
    return Weighted(targets, weights)


def losses_of(name: str, function: Any) -> Any:
    """Return the function that gives the loss of each element; TaskError where there is none."""
    if isinstance(function, nn.Module) and isinstance(getattr(function, "reduction", None), str):
        each = copy.copy(function)
        each.reduction = "none"  # type: ignore[assignment]  # in the copy alone
        return each
    if not isinstance(function, nn.Module) and "reduction" in _parameters(function):
        return functools.partial(function, reduction="none")
    raise TaskError(
        f"The data weighs its rows, and the loss {name} gives no loss of each row. Use one by name or "
        "a module of torch, or give your function a parameter reduction: with reduction='none' it "
        "returns the losses of shape (rows, …)."
    )


def weighted_loss(
    losses: Tensor, weights: Tensor, counts: Tensor | None, *, is_sum: bool
) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch, and what it weighs in the loss of the set, Σᵢ wᵢ·dᵢ.

    Nothing is read off a tensor, so that it may run under `torch.vmap`. Where all weights are 0 a mean
    is NaN.

    Args:
        losses: of each element, (rows, …).
        weights: of each row.
        counts: d of each element; None where each counts 1.
        is_sum: whether the loss is the sum Σᵢ wᵢ·lᵢ.
    """
    if not isinstance(losses, Tensor) or losses.shape[:1] != weights.shape:
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise TaskError(
            f"With reduction='none' a loss returns one for each row or element, (rows, …); got {got} "
            f"for {len(weights)} rows."
        )
    w = weights.to(losses.dtype).reshape(-1, *[1] * (losses.ndim - 1)).expand_as(losses)
    total = (losses * w).sum()
    d = w.double() if counts is None else w.double() * counts
    weight = d.sum()
    return total if is_sum else total / weight.to(total.dtype), weight


def class_counts(targets: Tensor, ignored: int | None, weight: Tensor | None) -> Tensor | None:
    """Return what each target counts in the mean of cross-entropy; None if each counts 1."""
    if targets.is_floating_point():
        return None
    kept = torch.ones_like(targets, dtype=torch.bool) if ignored is None else targets != ignored
    if weight is None:
        return kept.double()
    return torch.where(kept, weight.double()[targets.where(kept, 0)], 0.0)


def _parameters(function: Any) -> Any:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return ()


def _worst(weights: Tensor) -> float:
    bad = weights[~torch.isfinite(weights) | (weights < 0)]
    return float(bad[0]) if len(bad) else math.inf
