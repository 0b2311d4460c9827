"""A stack measures what each of its trials measures alone: figures of the whole set."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg import optim
from thalweg.objective import L2, Cost, Metric
from thalweg.race.entrants.known import Entrant
from thalweg.race.stack import run_stack
from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.point import Point
from thalweg.race.trials.run import run_trial
from thalweg.tasks import Data, Task

ROWS = 1300


def sets(ignored: int, mark: int) -> Data:
    x = torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] + 0.3 * x[:, 1] > 0.8).long()
    y[:ignored] = mark
    y[-3:] = mark
    return Data.arrays(x[1000:], y[1000:].clamp(min=0), validation=(x, y))


class Two(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        z = super().forward(x)
        return z, 2 * z


def f1(outputs: Any, targets: Tensor) -> Tensor:
    predicted = (outputs[1].argmax(1) == 1).double()
    right = (targets == 1).double()
    return 2 * (predicted * right).sum() / (predicted.sum() + right.sum())


COSTS = {
    "ignored": (Cost("cross_entropy", metrics="accuracy"), -100),
    "marked": (Cost(nn.CrossEntropyLoss(ignore_index=1), metrics="accuracy"), 1),
    "weighted": (
        Cost(
            nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0])),
            metrics="accuracy",
            penalty=L2(0.01),
        ),
        -100,
    ),
    "sum": (Cost(functools.partial(functional.cross_entropy, reduction="sum")), -100),
    "structured": (
        Cost(
            lambda o, t: functional.cross_entropy(o[0], t), metrics=Metric("f1", f1, additive=False)
        ),
        -100,
    ),
}


@pytest.mark.parametrize("name", COSTS)
def test_as_alone(name: str) -> None:
    cost, mark = COSTS[name]
    model = Two if name == "structured" else nn.Linear
    task = Task(sets(1024, mark), cost, lambda: model(3, 2))
    metric = cost.measures[0].name if cost.measures else "loss"
    setting = Setting(64, metric, cost.direction(metric))
    sgd = Entrant("sgd", optim.SGD)
    unit = tuple(
        (f"{lr} {seed}", Trial(sgd, Point(lr), seed=seed, epochs=2))
        for lr, seed in ((0.01, 0), (0.001, 0), (0.01, 1))
    )
    together = run_stack(task, unit, setting)
    assert [record.stacked for record in together] == [3, 3, 3]
    for record, (key, trial) in zip(together, unit, strict=True):
        alone = run_trial(task, trial, setting, key)
        assert record.curve.loss == pytest.approx(alone.curve.loss, rel=1e-4)
        assert record.curve.metric == pytest.approx(alone.curve.metric, rel=1e-4)


def test_a_batch_in_which_nothing_counts_is_left_to_runs_alone() -> None:
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    y = torch.full((64,), -100)
    y[:12] = 1
    task = Task(
        Data.arrays(x, y, validation=(x, y)), Cost("cross_entropy"), lambda: nn.Linear(3, 2)
    )
    setting = Setting(4, "loss", "min")
    sgd = Entrant("sgd", optim.SGD)
    unit = tuple((f"{s}", Trial(sgd, Point(0.1), seed=s, epochs=2)) for s in (0, 1))
    for record in run_stack(task, unit, setting):
        assert (record.status, record.stacked) == ("finished", 1)
        assert 0 < record.steps < 32
