"""What the loss is like where the run ended: its curvature, and the way that led there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.curvature import extremes, hessian
from thalweg.doctor.forks.origin import Origin
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
    named = {n: p for n, p in watched.model.named_parameters() if p.requires_grad}
    size, whole = sum(p.numel() for p in named.values()), is_whole_batch(watched)
    losses = watched.losses.last()
    stands = settled(losses) is not None or standstill(watched) is not None
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
    way = math.sqrt(
        sum(
            float((p.detach() - start.parameters[n]).double().square().sum())
            for n, p in named.items()
        )
    )
    quadratic = False
    if whole:
        here = matrix @ vector
        with untouched(watched.model, watched.optimizer):
            start.enter(watched.model, watched.optimizer)
            there = hessian(watched.model, loss, batches, training=False) @ vector
        quadratic = bool((here - there).norm() <= SAME * max(abs(found.top.value), 1e-300))
    parts = dict(zip(named, vector.split([p.numel() for p in named.values()]), strict=True))
    direction = {n: part.reshape(named[n].shape) for n, part in parts.items()}
    watched.ending = Ending(found.bottom, found.top, direction, gradient, way, quadratic)
    watched.gradients += matrix.gradients * len(batches)


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
