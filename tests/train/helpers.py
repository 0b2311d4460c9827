"""Small tasks that train in milliseconds, and comparisons that are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from tests.exact import is_same, same
from thalweg.objective import Cost
from thalweg.tasks import Data, Task
from thalweg.train import Run, fit


def blobs(rows: int = 50, **changes: Any) -> Task:
    """Three classes in the plane; a float64 model with dropout and batch norm."""
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % 3
    x = rng.normal(size=(rows, 2)) + 2.0 * np.stack([labels == 1, labels == 2], 1)
    parts: dict[str, Any] = {
        "data": Data.arrays(x, labels, validation=0.2, test=0.1),
        "cost": Cost("cross_entropy", metrics="accuracy"),
        "model": noisy_net,
        "name": "blobs",
    }
    return Task(**(parts | changes))


def noisy_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3)
    ).double()


def quiet(task: Task, optimizer: Any = torch.optim.Adam, **settings: Any) -> Run:
    defaults: dict[str, Any] = {"lr": 0.05, "epochs": 10, "batch_size": 8, "progress": False}
    return fit(task, optimizer, **(defaults | settings))


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def same_run(a: Run, b: Run, *, because: str) -> None:
    """Assert that two runs are the same to the bit: parameters, buffers, and what was measured."""
    same(outcome(a), outcome(b), because=because)


def other_run(a: Run, b: Run) -> None:
    """Assert that two runs ended at other parameters, or measured something else on the way."""
    assert not is_same(outcome(a), outcome(b), because="it is to be another run")


def outcome(run: Run) -> dict[str, Any]:
    return {"weights": weights(run), "history": [measured(e) for e in run.history]}


def measured(record: Any) -> dict[str, float]:
    """Return an epoch's record without the time it took."""
    return {name: value for name, value in record.as_dict().items() if name != "seconds"}
