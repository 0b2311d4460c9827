from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from thalweg.errors import TaskError
from thalweg.objective import (
    Cost,
    Metric,
    accuracy,
    as_metric,
    error_rate,
    mae,
    metric_names,
    mse,
    probability_accuracy,
    r2,
    rmse,
)


def test_regression_metrics_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y, predicted = rng.normal(size=(2, 50))
    o, t = torch.from_numpy(predicted), torch.from_numpy(y)
    assert mse(o, t).item() == pytest.approx(reference.mean_squared_error(y, predicted))
    assert rmse(o, t).item() == pytest.approx(reference.root_mean_squared_error(y, predicted))
    assert mae(o, t).item() == pytest.approx(reference.mean_absolute_error(y, predicted))
    assert r2(o, t).item() == pytest.approx(reference.r2_score(y, predicted))


def test_accuracy_against_scikit_learn() -> None:
    torch.manual_seed(0)
    outputs, labels = torch.randn(101, 4), torch.randint(0, 4, (101,))
    expected = reference.accuracy_score(labels, outputs.argmax(1))
    assert accuracy(outputs, labels).item() == expected
    assert error_rate(outputs, labels).item() == pytest.approx(1 - expected)
    one_hot = torch.nn.functional.one_hot(labels, 4).float()
    assert accuracy(outputs, one_hot).item() == expected


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_binary_accuracy_puts_the_threshold_at_zero_logit(shape: tuple[int, ...]) -> None:
    logits = torch.tensor([-1.0, 0.2, 0.7, -0.1]).reshape(shape)
    targets = torch.tensor([0, 0, 1, 1])
    assert accuracy(logits, targets).item() == 0.5
    assert accuracy(logits, targets.float().reshape(shape)).item() == 0.5
    # as probabilities only 0.7 is class 1
    assert probability_accuracy(logits, targets).item() == 0.75


def test_the_loss_decides_the_threshold() -> None:
    (measure,) = Cost("bce", metrics="accuracy").measures
    assert measure(torch.tensor([0.2, 0.9]), torch.tensor([0.0, 1.0])) == 1.0
    (measure,) = Cost("bce_with_logits", metrics="accuracy").measures
    assert measure(torch.tensor([0.2, 0.9]), torch.tensor([0.0, 1.0])) == 0.5


def test_an_accuracy_that_is_exactly_the_target_counts() -> None:
    labels = torch.zeros(20, dtype=torch.int64)
    outputs = torch.eye(2)[[0] * 19 + [1]]
    assert as_metric("accuracy")(outputs, labels) >= 0.95


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(TaskError, match="make them equal"):
        mse(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(TaskError, match="do not fit"):
        accuracy(torch.zeros(4, 1), torch.zeros(3))


def test_functions_and_names() -> None:
    assert as_metric(accuracy) is as_metric("accuracy")
    own = as_metric(lambda outputs, targets: 3.0)
    assert own(None, None) == 3.0
    assert as_metric("error_rate").direction == "min"
    assert {"accuracy", "error_rate", "mse"} <= set(metric_names())


def test_what_is_no_metric() -> None:
    with pytest.raises(TaskError, match="cannot be called 'loss'"):
        as_metric(Metric("loss", accuracy))
    with pytest.raises(TaskError, match="'max' or 'min'"):
        Metric("m", accuracy, "up")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="a function; got int"):
        as_metric(3)  # type: ignore[arg-type]


OUTPUTS, CLASSES = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            lambda o, t: 1 / 0,
            r"metric <lambda> fails on outputs of shape \(4, 3\) and targets of shape",
        ),
        (lambda o, t: {}["f1"], r"test_metrics.py, line \d+: KeyError: 'f1'"),
        (lambda o, t: o, r"must return one number; on outputs .* it gave shape \(4, 3\)"),
        (lambda o, t: None, "it gave NoneType"),
        ("mse", r"The metric mse compares outputs of shape \(4, 3\) with targets of shape \(4,\)"),
        ("r2", "The metric r2 compares"),
    ],
)
def test_metrics_that_give_no_number_say_so(metric: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        as_metric(metric)(OUTPUTS, CLASSES)


@pytest.mark.parametrize("name", metric_names())
def test_metrics_lie_within_their_bounds(name: str) -> None:
    metric = as_metric(name)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        if name in ("mse", "rmse", "mae", "r2"):
            outputs, targets = torch.randn(2, 8, generator=generator)
        else:
            classes = 2 if name in ("f1", "precision", "recall") else 7
            outputs = torch.randn(20, classes, generator=generator)
            targets = torch.randint(0, classes, (20,), generator=generator)
        if name in ("label_accuracy", "exact_match"):
            outputs, targets = outputs[:, 0], targets % 2
        assert metric.low <= metric(outputs, targets) <= metric.high
    assert (metric.low > -torch.inf) or (metric.high < torch.inf)


def test_an_unknown_metric_far_from_all() -> None:
    with pytest.raises(
        TaskError, match=r"'zzz'. There are: accuracy, .*A function \(outputs, targets"
    ):
        as_metric("zzz")


def test_what_the_loss_ignores_is_not_counted() -> None:
    outputs, labels = torch.eye(3)[[0, 1, 2, 0, 1]], torch.tensor([0, -100, 2, 1, -100])
    (named,) = Cost("cross_entropy", metrics="accuracy").measures
    assert named(outputs, labels) == pytest.approx(2 / 3)
    assert named.weigh(outputs, labels, 5) == pytest.approx(3)
    marked = torch.nn.CrossEntropyLoss(ignore_index=2)
    for metric in ("error_rate", error_rate):
        (measure,) = Cost(marked, metrics=metric).measures
        assert measure(outputs, labels.clamp(min=0)) == pytest.approx(3 / 4)
        assert measure.weigh(outputs, labels.clamp(min=0), 5) == pytest.approx(4)
    own = functools.partial(accuracy, ignore_index=2)
    (measure,) = Cost(lambda o, t: o.mean(), metrics=own).measures
    assert measure(outputs, labels.clamp(min=0)) == pytest.approx(1 / 4)


def test_positions_and_one_hot_rows_are_counted_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, labels = torch.randn(4, 3, 5, generator=generator), torch.zeros(4, 5).long()
    labels[0, :3] = -100
    metric = as_metric("accuracy")
    kept = labels != -100
    right = (outputs.argmax(1) == labels)[kept].double().mean().item()
    assert metric(outputs, labels) == pytest.approx(right)
    assert metric.weigh(outputs, labels, 4) == pytest.approx(17)
    one_hot = torch.nn.functional.one_hot(labels.clamp(min=0), 3).movedim(-1, 1)
    assert metric.weigh(outputs, one_hot, 4) == pytest.approx(20)
    assert metric.weigh(outputs[:, 0, 0], labels[:, 0], 4) == pytest.approx(4)


def test_a_metric_says_what_a_batch_weighs() -> None:
    metric = Metric("m", lambda o, t: o.mean(), weight=lambda o, t: -1.0)
    with pytest.raises(
        TaskError, match="weight of the metric m must be a finite number ≥ 0; got -1"
    ):
        metric.weigh(torch.ones(2), torch.ones(2), 2)
