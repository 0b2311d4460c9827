"""Metrics of torchmetrics, and other objects with update, compute and reset."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torchmetrics import classification, regression

from tests.exact import same
from thalweg.errors import TaskError
from thalweg.objective import Cost, Meter, Metric
from thalweg.race import race
from thalweg.tasks import Data, Task
from thalweg.train import fit

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 4, (40,), generator=torch.Generator().manual_seed(1))


class Latest:
    """The largest target so far, kept as a plain number."""

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.high = 0.0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.high = max(self.high, float(targets.max()))

    def compute(self) -> float:
        return self.high


def of_classes(*metrics: Any) -> Task:
    return Task(Data.arrays(X, Y, validation=0.5), Cost("cross_entropy", metrics), _linear)


def _linear() -> nn.Module:
    return nn.Linear(3, 4)


def test_they_give_what_the_metrics_by_name_give() -> None:
    accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=4)
    f1 = classification.MulticlassF1Score(num_classes=4, average="weighted")
    auc = classification.MulticlassAUROC(num_classes=4)
    calibration = classification.MulticlassCalibrationError(num_classes=4)
    task = of_classes(
        accuracy,
        f1,
        auc,
        Metric("theirs", calibration, "min"),
        "accuracy",
        "f1_weighted",
        "auc",
        "calibration_error",
    )
    run = fit(task, "sgd", lr=0.1, epochs=3, batch_size=8, progress=False)
    for epoch in run.history:
        for scores in (epoch.train, epoch.validation):
            assert scores is not None
            for theirs, ours in (
                ("MulticlassAccuracy", "accuracy"),
                ("MulticlassF1Score", "f1_weighted"),
                ("MulticlassAUROC", "auc"),
                ("theirs", "calibration_error"),
            ):
                if theirs == "MulticlassAccuracy":
                    continue  # its average is macro unless it is told otherwise
                assert scores[theirs] == pytest.approx(scores[ours], abs=1e-5)  # theirs: float32
    assert task.cost.direction("theirs") == "min"
    assert task.cost.direction("MulticlassAUROC") == "max"
    assert accuracy.update_count == 0  # the object itself has seen nothing


def test_two_runs_share_no_state() -> None:
    task = of_classes(classification.MulticlassAccuracy(num_classes=4, average="micro"), Latest())
    settings = {"lr": 0.1, "epochs": 2, "batch_size": 7, "progress": False}
    first, second = (fit(task, "sgd", **settings) for _ in range(2))
    for a, b in zip(first.history, second.history, strict=True):
        same(a.train.as_dict(), b.train.as_dict(), because="the same run a second time")
    assert first.history[-1].train["Latest"] == pytest.approx(3.0)
    result = race(task, ["sgd"], trials=2, seeds=2, epochs=1, progress=False)
    assert "MulticlassAccuracy" in str(result.to_dict())


def test_logits_that_look_like_probabilities() -> None:
    logits, targets = torch.tensor([[0.1], [0.2], [0.4], [0.3]]), torch.tensor([[1.0]] * 4)
    for loss, expected in (("bce_with_logits", 1.0), ("bce", 0.0)):
        (metric,) = Cost(loss, metrics=classification.BinaryAccuracy()).measures
        assert metric(logits, targets) == pytest.approx(expected)


def test_batches_that_cannot_be_joined_are_fed_one_by_one() -> None:
    meter = Meter(Cost("mse", metrics=regression.MeanSquaredError()).measures)
    for length in (2, 5, 3):
        meter.add(0.0, torch.full((4, length), float(length)), torch.zeros(4, length), 4)
    assert meter.scores()["MeanSquaredError"] == pytest.approx((2 * 4 + 5 * 25 + 3 * 9) / 10)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (classification.MulticlassConfusionMatrix(num_classes=4), "does not say whether higher is"),
        (torchmetrics.MetricCollection([]), "give the metrics of a collection one by one"),
        (
            classification.MulticlassF1Score(num_classes=4, average=None),
            r"MulticlassF1Score must return one number; .* it gave shape \(4,\)",
        ),
    ],
)
def test_refused_before_training(metric: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        fit(of_classes(metric), "sgd", lr=0.1, epochs=1, progress=False)
