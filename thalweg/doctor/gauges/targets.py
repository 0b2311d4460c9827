"""The targets of batches: means, mean squares and counts of classes, of many batches at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from thalweg.doctor.gauges.waiting import Waiting
from thalweg.doctor.watched import Floats, Labels
from thalweg.objective.nested import tensors_in

MOST_CLASSES = 1000
MOST_COLUMNS = 64
CLOSE = 4096
"""Classes whose numbers lie in so small a range are counted by place, others by sorting."""


class _Targets(NamedTuple):
    """The targets of a batch: mean, mean square, and the counts of classes where they are classes, or else
    the mean and the variance of each column.
    """

    mean: float
    square: float
    counts: dict[int, int] | None
    columns: tuple[Floats, Floats, int] | None


class Targets:
    """Keeps what the targets of batches are like, by step."""

    def __init__(self) -> None:
        self._found: dict[int, _Targets] = {}
        self._waiting = Waiting(self._look)

    def see(self, step: int, targets: Any) -> None:
        """Keep the targets of one batch."""
        y = targets if isinstance(targets, Tensor) else next(tensors_in(targets), None)
        if y is not None and y.numel():
            self._waiting.add(step, y)

    def labels(self) -> Labels:
        """Return the targets of all batches in the order of the steps."""
        self._waiting.look()
        rows = [self._found[step] for step in sorted(self._found)]
        return Labels(
            [row.counts for row in rows if row.counts is not None],
            [row.mean for row in rows],
            [row.square for row in rows],
            [row.columns for row in rows if row.columns is not None],
        )

    def _look(self, steps: Sequence[int], stack: Tensor) -> None:
        """Put down what the targets of batches are like, which have one shape and type."""
        y = stack.reshape(len(stack), stack.shape[1] if stack.ndim > 1 else 1, -1)
        wide = y.to(torch.complex128 if y.is_complex() else torch.float64)
        nothing = [None] * len(y)
        counts: Sequence[dict[int, int] | None] = nothing
        columns: Sequence[tuple[Floats, Floats, int] | None] = nothing
        if not y.is_floating_point() and not y.is_complex():
            counts = _counts(y[..., 0]) if y.shape[2] == 1 else nothing
        elif y.is_floating_point() and y.shape[1] > 1 and y.shape[2] <= MOST_COLUMNS:
            variances, means = (part.numpy() for part in torch.var_mean(wide, 1, correction=0))
            columns = [(m, v, y.shape[1]) for m, v in zip(means, variances, strict=True)]
        flat = wide.real.flatten(1)
        numbers = flat.mean(1).tolist(), flat.square().mean(1).tolist()
        self._found.update(zip(steps, map(_Targets, *numbers, counts, columns), strict=True))


def _counts(y: Tensor) -> list[dict[int, int] | None]:
    """Return the counts of the classes in each row; None where there are too many."""
    first, last = (int(end) for end in y.aminmax())
    if last - first >= CLOSE:
        return [_count(*np.unique(row.numpy(), return_counts=True)) for row in y]
    width = last - first + 1
    places = y.long() - first + width * torch.arange(len(y))[:, None]
    table = torch.bincount(places.flatten(), minlength=width * len(y)).view(len(y), width).numpy()
    return [_count(first + there, row[there]) for row in table for there in (row.nonzero()[0],)]


def _count(classes: Any, numbers: Any) -> dict[int, int] | None:
    if len(classes) > MOST_CLASSES:
        return None
    return dict(zip(classes.tolist(), numbers.tolist(), strict=True))
