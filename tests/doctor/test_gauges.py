"""Gauges of data look at many batches at once, and find what each has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from thalweg.doctor.gauges.data import DataGauge
from thalweg.doctor.watched import Watched


def test_batches_that_wait_for_each_other_are_read_one_by_one() -> None:
    """Rows and classes change from batch to batch, and one number is not finite."""
    draw = np.random.default_rng(0)
    model = nn.Linear(1, 1)
    watched = Watched(model, torch.optim.SGD(model.parameters(), lr=0.1))
    gauge = DataGauge(watched)
    inputs, classes = [], []
    for step in range(1, 60):
        rows, far = 8 if step % 20 else 5, 10**6 if step > 40 else 3
        x, y = draw.normal(size=(rows, 3)), draw.integers(-far, far, rows)
        if step == 7:
            x[2, 1] = np.inf
        gauge.see(step, (torch.tensor(x), torch.tensor(y)))
        inputs.append(np.where(np.isfinite(x), x, 0.0))
        classes.append(y)
    gauge.read([])
    seen, labels = watched.inputs, watched.labels
    whole = np.concatenate(inputs)
    assert (seen.rows, seen.nonfinite, seen.nonfinite_step) == (len(whole), 1, 7)
    assert seen.total == pytest.approx(whole.sum(0)), "sums in another order"
    assert seen.squares == pytest.approx(np.square(whole).sum(0))
    assert seen.largest == pytest.approx(whole.max(0))
    assert seen.sizes[9] == pytest.approx(np.sqrt(np.square(inputs[8]).mean()))
    counts = [{int(label): int((y == label).sum()) for label in y} for y in classes]
    assert labels.counts == counts
    assert labels.means == pytest.approx([float(y.mean()) for y in classes])
