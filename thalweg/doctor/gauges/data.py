"""What the data path does: the order of the targets, the scale of the inputs, numbers that are not finite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.doctor.gauges.targets import Targets
from thalweg.doctor.gauges.waiting import Waiting
from thalweg.doctor.watched import Inputs, Watched
from thalweg.objective.nested import tensors_in

MOST_LABELLED = 512
"""Batches of which the labels are counted one after the other, from the first on."""
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
        self._targets, self._inputs = Targets(), Waiting(self._sum)
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
        self._targets.see(step, targets)
        if is_summed:
            self._see_inputs(step, inputs)

    def read(self, kept: Iterable[tuple[int, Any]]) -> None:
        """Look at batches that were kept, too, and put down the targets of all in the order of the steps."""
        for step, batch in kept:
            if step not in self._seen:
                self._see(step, batch, is_summed=True)
        self._inputs.look()
        self.watched.labels = self._targets.labels()

    def _see_inputs(self, step: int, inputs: Any) -> None:
        x = next((t for t in tensors_in(inputs) if t.is_floating_point() and t.ndim), None)
        if x is not None and 0 < x.numel() <= SUMMED_UP_TO:
            self._inputs.add(step, x)

    def _sum(self, steps: Sequence[int], stack: Tensor) -> None:
        """Add the inputs of batches of one shape to what was seen."""
        seen = self.watched.inputs
        x = stack.double().reshape(*stack.shape[:2], -1)
        squares = x.square().sum(1)
        if not torch.isfinite(squares.sum()):
            x = _without_broken(seen, steps, x)
            squares = x.square().sum(1)
        sizes = (squares.sum(1) / x[0].numel()).sqrt()
        seen.sizes.update(zip(steps, sizes.tolist(), strict=True))
        if x.shape[2] <= MOST_FEATURES:
            _add(seen, x.flatten(0, 1), squares.sum(0))


def _without_broken(seen: Inputs, steps: Sequence[int], x: Tensor) -> Tensor:
    """Count numbers that are not finite, and return the others, with 0 instead of these."""
    broken = ~torch.isfinite(x)
    counts = broken.flatten(1).sum(1).tolist()
    seen.nonfinite += sum(counts)
    earlier = [] if seen.nonfinite_step is None else [seen.nonfinite_step]
    found = [step for step, count in zip(steps, counts, strict=True) if count]
    seen.nonfinite_step = min((*earlier, *found), default=None)
    return x.masked_fill(broken, 0.0)


def _add(seen: Inputs, rows: Tensor, squares: Tensor) -> None:
    """Add rows to what was seen; rows of another width begin again."""
    if seen.total is None or len(seen.total) != rows.shape[1]:
        seen.rows, width = 0, rows.shape[1]
        seen.total, seen.squares = np.zeros(width), np.zeros(width)
        seen.smallest, seen.largest = np.full(width, np.inf), np.full(width, -np.inf)
    assert seen.squares is not None
    assert seen.smallest is not None
    assert seen.largest is not None
    seen.rows += len(rows)
    seen.total += rows.sum(0).numpy()
    seen.squares += squares.numpy()
    # aminmax takes ten times as long along this axis
    seen.smallest = np.minimum(seen.smallest, rows.amin(0).numpy())
    seen.largest = np.maximum(seen.largest, rows.amax(0).numpy())
