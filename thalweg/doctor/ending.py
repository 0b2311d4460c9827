"""What the loss is like where the run ended: its curvature, and the way that led there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.curvature import Operator, extremes, hessian
from thalweg.doctor.forks.origin import Origin
from thalweg.doctor.gauges.numbers import norm_of_all
from thalweg.doctor.symptoms.reading import settled, standstill
from thalweg.doctor.watched import Ending, Watched
from thalweg.objective.nested import tensors_in
from thalweg.train.restored.snapshot import untouched

LossFunction = Callable[[Any, Any], Tensor]
PRODUCTS = 40
MOST_PARAMETERS = 1_000_000
MOST_ROWS = 256
"""Rows that the curvature is measured on, or one batch where it has more."""
SAME = 1e-3
"""By how much a product with the Hessian of a quadratic may differ between two places, rounding included."""


def is_whole_batch(watched: Watched) -> bool:
    """Return whether every step is made on the same batch, as far as batches were kept."""
    if len(watched.kept) <= 3:
        return False
    one, other = (next(tensors_in(batch)) for batch in (watched.kept[0][1], watched.kept[-1][1]))
    return one.shape == other.shape and torch.equal(one, other)


def measure_ending(
    watched: Watched, loss: LossFunction, start: Origin | None, budget: float
) -> None:
    """Measure the curvature where the loss stands still, or where all steps are made on one batch.

    It takes 40 products with the Hessian of some batches, at most; none where that is more than half of the
    `budget`, in gradient-equivalents.
    """
    size, whole = sum(p.numel() for p in watched.model.parameters()), is_whole_batch(watched)
    stands = settled(watched.losses.last()) is not None or standstill(watched) is not None
    if start is None or not (stands or whole) or size > MOST_PARAMETERS:
        return
    batches = _few(watched, whole)
    if 2 * (PRODUCTS + 4) * len(batches) > budget / 2:
        return
    matrix = hessian(watched.model, loss, batches, training=False)
    found = extremes(matrix, tol=1e-2, most=PRODUCTS)
    vector = found.smallest.vectors[:, 0]
    rows = matrix.batch_gradients()
    gradient = sum(n * float(g.norm()) for n, g in rows) / sum(n for n, _ in rows)
    quadratic = whole and _is_quadratic(watched, matrix, vector, start, found.top.value)
    watched.ending = Ending(
        found.bottom,
        found.top,
        _by_name(watched, vector),
        gradient,
        _way(watched, start),
        quadratic,
        _rounding(watched),
    )
    watched.gradients += matrix.gradients * len(batches)


def _trained(watched: Watched) -> dict[str, Tensor]:
    return {n: p for n, p in watched.model.named_parameters() if p.requires_grad}


def _by_name(watched: Watched, vector: Tensor) -> dict[str, Tensor]:
    """Return the parts of a vector by parameter, in their shapes."""
    named = _trained(watched)
    parts: Sequence[Tensor] = torch.split(vector, [p.numel() for p in named.values()])
    return {n: part.reshape(p.shape) for (n, p), part in zip(named.items(), parts, strict=True)}


def _way(watched: Watched, start: Origin) -> float:
    """Return how far from the start the parameters are."""
    trained = _trained(watched).items()
    return norm_of_all(p.detach() - start.parameters[n] for n, p in trained)


def _rounding(watched: Watched) -> float:
    """Return a curvature that changes the loss by its rounding only, over a way as long as the weights."""
    level = float(np.abs(watched.losses.last()).max())
    square = norm_of_all(p.detach() for p in _trained(watched).values()) ** 2
    eps = max(torch.finfo(p.dtype).eps for p in _trained(watched).values())
    return 2 * eps * level / max(square, 1.0)


def _is_quadratic(
    watched: Watched, matrix: Operator, vector: Tensor, start: Origin, top: float
) -> bool:
    """Return whether the Hessian is at the start what it is here, as far as a product with it shows."""
    here = matrix @ vector
    with untouched(watched.model, watched.optimizer):
        start.enter(watched.model, watched.optimizer)
        there = matrix @ vector  # it reads the model again
    return bool((here - there).norm() <= SAME * abs(top))


def _few(watched: Watched, whole: bool) -> list[Any]:
    """Return a few of the last batches; one where all are the same."""
    chosen: list[Any] = []
    rows = 0
    for _, batch in watched.kept[::-1]:
        chosen.append(batch)
        rows += len(next(tensors_in(batch)))
        if whole or rows >= MOST_ROWS:
            break
    return chosen
