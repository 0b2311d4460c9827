"""What the data path does: the order of the targets, the scale of the inputs, numbers that are not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.doctor.watched import Watched
from thalweg.objective.nested import tensors_in

MOST_LABELLED = 512
"""Batches of which the labels are counted one after the other, from the first on."""
MOST_CLASSES = 1000
MOST_FEATURES = 4096
MOST_SUMMED = 64
"""Batches of which the inputs are summed."""
SUMMED_UP_TO = 1_000_000
"""Numbers in a batch, at most, that are summed."""


class DataGauge:
    """Looks at the batches that the doctor is given."""

    name = "data"

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._summed = 0

    def see(self, step: int, batch: Any) -> None:
        """Look at one batch, (inputs, targets)."""
        inputs, targets = batch
        labels = self.watched.labels
        if len(labels.means) < MOST_LABELLED:
            self._see_targets(targets)
        if self._summed < MOST_SUMMED:
            self._summed += 1
            self._see_inputs(step, inputs)

    def _see_targets(self, targets: Any) -> None:
        y = targets if isinstance(targets, Tensor) else next(tensors_in(targets), None)
        labels = self.watched.labels
        if y is None or not y.numel():
            return
        flat = y.detach().reshape(len(y), -1) if y.ndim else y.detach().reshape(1, 1)
        labels.means.append(float(flat.float().mean()))
        labels.squares.append(float(flat.float().square().mean()))
        if flat.shape[1] == 1 and not y.is_floating_point() and not y.is_complex():
            values, counts = np.unique(flat.cpu().numpy(), return_counts=True)
            if len(values) <= MOST_CLASSES:
                labels.counts.append(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def _see_inputs(self, step: int, inputs: Any) -> None:
        x = next((t for t in tensors_in(inputs) if t.is_floating_point() and t.ndim), None)
        seen = self.watched.inputs
        if x is None or not x.numel() or x.numel() > SUMMED_UP_TO:
            return
        flat = x.detach().reshape(len(x), -1).to(dtype=torch.float64, device="cpu").numpy()
        finite = np.isfinite(flat)
        if not finite.all():
            seen.nonfinite += int((~finite).sum())
            seen.nonfinite_step = step if seen.nonfinite_step is None else seen.nonfinite_step
            flat = np.where(finite, flat, 0.0)
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
