"""What the data path does: the order of the targets, the scale of the inputs, numbers that are not finite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from thalweg.doctor.watched import Floats, Labels, Watched
from thalweg.objective.nested import tensors_in

MOST_LABELLED = 512
"""Batches of which the labels are counted one after the other, from the first on."""
MOST_CLASSES = 1000
MOST_FEATURES = 4096
MOST_COLUMNS = 64
MOST_SUMMED = 64
"""Batches of which the inputs are summed."""
SUMMED_UP_TO = 1_000_000
"""Numbers in a batch, at most, that are summed."""


class _Targets(NamedTuple):
    """The targets of a batch: mean, mean square, and the counts of classes where they are classes, or else
    the mean and the variance of each column.
    """

    mean: float
    square: float
    counts: dict[int, int] | None
    columns: tuple[Floats, Floats, int] | None


class DataGauge:
    """Looks at the batches that the doctor is given."""

    name = "data"

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._targets: dict[int, _Targets] = {}
        self._seen: set[int] = set()

    @property
    def has_room(self) -> bool:
        """Whether there are not too many batches yet."""
        return len(self._seen) < MOST_LABELLED

    def see(self, step: int, batch: Any) -> None:
        """Look at one batch, (inputs, targets), while there are not too many."""
        if self.has_room:
            self._see(step, batch, is_summed=len(self._seen) < MOST_SUMMED)

    def _see(self, step: int, batch: Any, *, is_summed: bool) -> None:
        self._seen.add(step)
        inputs, targets = batch
        self._see_targets(step, targets)
        if is_summed:
            self._see_inputs(step, inputs)

    def read(self, kept: Iterable[tuple[int, Any]]) -> None:
        """Look at batches that were kept, too, and put down the targets of all in the order of the steps."""
        for step, batch in kept:
            if step not in self._seen:
                self._see(step, batch, is_summed=True)
        rows = [self._targets[step] for step in sorted(self._targets)]
        self.watched.labels = Labels(
            [row.counts for row in rows if row.counts is not None],
            [row.mean for row in rows],
            [row.square for row in rows],
            [row.columns for row in rows if row.columns is not None],
        )

    def _see_targets(self, step: int, targets: Any) -> None:
        y = targets if isinstance(targets, Tensor) else next(tensors_in(targets), None)
        if y is None or not y.numel():
            return
        flat = y.detach().reshape(len(y), -1) if y.ndim else y.detach().reshape(1, 1)
        counts = None
        if flat.shape[1] == 1 and not y.is_floating_point() and not y.is_complex():
            values, numbers = np.unique(flat.cpu().numpy(), return_counts=True)
            if len(values) <= MOST_CLASSES:
                counts = dict(zip(values.tolist(), numbers.tolist(), strict=True))
        wide = flat.float()
        columns = None
        if (
            counts is None
            and y.is_floating_point()
            and len(wide) > 1
            and wide.shape[1] <= MOST_COLUMNS
        ):
            variance, mean = torch.var_mean(wide.double(), 0, correction=0)
            columns = mean.cpu().numpy(), variance.cpu().numpy(), len(wide)
        self._targets[step] = _Targets(
            float(wide.mean()), float(wide.square().mean()), counts, columns
        )

    def _see_inputs(self, step: int, inputs: Any) -> None:
        x = next((t for t in tensors_in(inputs) if t.is_floating_point() and t.ndim), None)
        seen = self.watched.inputs
        if x is None or not x.numel() or x.numel() > SUMMED_UP_TO:
            return
        flat = x.detach().reshape(len(x), -1).to(dtype=torch.float64, device="cpu").numpy()
        finite = np.isfinite(flat)
        if not finite.all():
            seen.nonfinite += int((~finite).sum())
            first = seen.nonfinite_step
            seen.nonfinite_step = step if first is None else min(step, first)
            flat = np.where(finite, flat, 0.0)
        seen.sizes[step] = float(np.sqrt(np.square(flat).mean()))
        if flat.shape[1] > MOST_FEATURES:
            return
        if seen.total is None or len(seen.total) != flat.shape[1]:
            seen.rows, width = 0, flat.shape[1]
            seen.total, seen.squares = np.zeros(width), np.zeros(width)
            seen.smallest, seen.largest = np.full(width, np.inf), np.full(width, -np.inf)
        assert seen.squares is not None
        assert seen.smallest is not None
        assert seen.largest is not None
        seen.rows += len(flat)
        seen.total += flat.sum(0)
        seen.squares += np.square(flat).sum(0)
        seen.smallest = np.minimum(seen.smallest, flat.min(0))
        seen.largest = np.maximum(seen.largest, flat.max(0))
