from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.train.helpers import blobs, quiet
from thalweg.errors import TaskError
from thalweg.objective import Cost, Scores
from thalweg.tasks import Data, Target, Task
from thalweg.train import EarlyStopping, Epoch, fit
from thalweg.train.stopping import Tracker


def _follow(values: list[float], rule: EarlyStopping, direction: str = "min") -> tuple[int, int]:
    """Feed a scripted series; return the epoch of the stop (0 for none) and the best epoch."""
    model = nn.Linear(1, 1)
    tracker = Tracker(rule, direction)
    for epoch, value in enumerate(values, 1):
        nn.init.constant_(model.weight, epoch)
        if tracker.update(Epoch(epoch, epoch, 0.0, 0.1, Scores(0), Scores(value)), model):
            break
    else:
        epoch = 0
    tracker.restore(model)
    best = 0 if tracker.best is None else tracker.best.epoch
    if best and rule.restore_best:
        assert model.weight.item() == best
    return epoch, best


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "expected"),
    [
        ([5, 4, 3, 4, 5, 6], 2, 0.0, (5, 3)),
        ([5, 4, 3, 4, 5, 6], 4, 0.0, (0, 3)),
        ([5, 4, 4, 4], 2, 0.0, (4, 2)),  # a tie is not an improvement
        ([5, 4.5, 4.2, 3.9], 2, 1.0, (3, 1)),
        ([5, math.nan, math.nan, 1], 2, 0.0, (3, 1)),
        ([math.nan, 3, 2], 2, 0.0, (0, 3)),
        ([5, 6, 4, 7, 3, 8], 2, 0.0, (0, 5)),  # an improvement starts the count again
    ],
)
def test_scripted_series(
    values: list[float], patience: int, min_delta: float, expected: tuple[int, int]
) -> None:
    assert _follow(values, EarlyStopping("loss", patience, min_delta)) == expected
    mirrored = _follow([-v for v in values], EarlyStopping("loss", patience, min_delta), "max")
    assert mirrored == expected


def test_the_best_parameters_and_buffers_come_back() -> None:
    rule = EarlyStopping("validation loss", patience=2)
    run = quiet(blobs(), lr=0.5, epochs=60, early_stopping=rule)
    assert run.stopped == "early stopping"
    assert run.best is not None
    assert run.best.epoch == run.epochs - 2
    assert run.evaluate("validation") == run.best.validation
    last = quiet(
        blobs(), lr=0.5, epochs=60, early_stopping=EarlyStopping(patience=2, restore_best=False)
    )
    assert last.evaluate("validation") == last.history[-1].validation != last.best.validation  # type: ignore[union-attr]


def test_the_metric_decides_the_direction() -> None:
    run = quiet(blobs(), epochs=8, early_stopping=EarlyStopping("accuracy", patience=8))
    values = run.history.column("validation_accuracy")
    assert run.best is not None
    assert run.best.epoch == 1 + values.index(max(values))


def test_on_the_training_set() -> None:
    task = blobs().replace(data=Data(blobs().data.train))
    run = quiet(task, epochs=40, lr=0.5, early_stopping=EarlyStopping("train loss", patience=1))
    assert run.stopped == "early stopping"
    with pytest.raises(TaskError, match="needs a validation set"):
        quiet(task, early_stopping=EarlyStopping())
    with pytest.raises(TaskError, match="no validation set"):
        quiet(task, stop_at=Target("loss", 0.1))


def test_bad_rules() -> None:
    with pytest.raises(TaskError, match="patience must be an integer of at least 1"):
        EarlyStopping(patience=0)
    with pytest.raises(TaskError, match="min_delta"):
        EarlyStopping(min_delta=-1)
    with pytest.raises(TaskError, match="no metric 'f1'"):
        quiet(blobs(), early_stopping=EarlyStopping("f1"))


class Bowl(nn.Module):
    """½‖w‖² as a model: the loss is its output."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, -4.0], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * self.w.square().sum().expand(len(x))


def test_pure_mode_stops_when_the_gradient_vanishes() -> None:
    """With lr 0.5 the gradient is w = (3, -4)·2⁻ᵏ: its norm 5·2⁻ᵏ is first below 0.01 at k = 9."""
    data = Data.arrays(np.zeros((3, 1)), np.zeros(3))
    task = Task(data, Cost(lambda outputs, targets: outputs.mean()), Bowl)
    run = fit(
        task,
        torch.optim.SGD,
        lr=0.5,
        epochs=100,
        batch_size=None,
        gradient_tolerance=0.01,
        progress=False,
    )
    assert (run.stopped, run.steps) == ("gradient", 9)
    assert run.model.w.tolist() == [3 / 2**9, -4 / 2**9]  # type: ignore[union-attr,operator]
    with pytest.raises(TaskError, match="batch_size=None"):
        quiet(blobs(), gradient_tolerance=0.1)
    with pytest.raises(TaskError, match="≥ 0"):
        quiet(blobs(), batch_size=None, gradient_tolerance=-0.1)
