"""Metrics of classes against scikit-learn, and where it gives no number."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch import Tensor

from tests.exact import same
from thalweg.errors import TaskError
from thalweg.objective import (
    Cost,
    Meter,
    Metric,
    as_metric,
    calibration_error,
    confusion_matrix,
    metric_names,
    top_k,
)

CLASSES = 6
COUNTS = "both are integers"
BOUND = 1e-12  # of sums of a few hundred float64 numbers, relative to 1


def measured(name: str | Metric, outputs: Tensor, targets: Tensor, loss: str) -> float:
    (metric,) = Cost(loss, metrics=name).measures
    return metric(outputs, targets)


def rows(seed: int, *shape: int, ties: bool = True) -> Tensor:
    """Return outputs of which many are equal, so that the order among equals matters."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (values * 2).round() / 2 if ties else values


def labels(seed: int, high: int, *shape: int) -> Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def each(figure: Callable[..., float], average: str) -> Callable[[Tensor, Tensor], float]:
    def expected(outputs: Tensor, targets: Tensor) -> float:
        return figure(targets, outputs.argmax(1), average=average, zero_division=0)

    return expected


SEVERAL: dict[str, Callable[[Tensor, Tensor], float]] = {
    f"{name}_{average}": each(figure, average)
    for name, figure in (
        ("f1", reference.f1_score),
        ("precision", reference.precision_score),
        ("recall", reference.recall_score),
    )
    for average in ("macro", "micro", "weighted")
} | {
    "balanced_accuracy": lambda o, t: reference.balanced_accuracy_score(t, o.argmax(1)),
    "log_loss": lambda o, t: reference.log_loss(t, o.softmax(1), labels=range(CLASSES)),
    "brier": lambda o, t: reference.brier_score_loss(
        t, o.softmax(1), labels=range(CLASSES), scale_by_half=False
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SEVERAL)
def test_several_classes_some_of_them_missing(name: str, seed: int) -> None:
    outputs, targets = rows(seed, 60, CLASSES), labels(seed, CLASSES - 2, 60)
    outputs[:, 0] -= 9.0  # class 0 is never predicted, classes 4 and 5 are never true
    outputs[:, 5] -= 9.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, about classes that are predicted only
        expected = SEVERAL[name](outputs, targets)
    assert measured(name, outputs, targets, "cross_entropy") == pytest.approx(expected, abs=BOUND)


@pytest.mark.parametrize("seed", range(3))
def test_areas_of_several_classes(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    orders = torch.stack([torch.randperm(4, generator=generator) for _ in range(80)])
    # the same four numbers in each row, in another order: many probabilities are equal
    outputs, targets = rows(seed, 4)[orders], labels(seed, 4, 80)
    p = outputs.softmax(1)
    auc = reference.roc_auc_score(targets, p, multi_class="ovr")
    assert measured("auc", outputs, targets, "cross_entropy") == pytest.approx(auc, abs=BOUND)
    ap = reference.average_precision_score(targets, p)
    assert measured("average_precision", outputs, targets, "cross_entropy") == pytest.approx(
        ap, abs=BOUND
    )
    logs = p.log()
    assert measured("auc", logs, targets, "nll_loss") == pytest.approx(
        reference.roc_auc_score(targets, logs.exp(), multi_class="ovr"), abs=BOUND
    )


TWO: dict[str, Callable[[Tensor, Tensor], float]] = {
    "f1": lambda p, t: reference.f1_score(t, p > 0.5),
    "precision": lambda p, t: reference.precision_score(t, p > 0.5),
    "recall": lambda p, t: reference.recall_score(t, p > 0.5),
    "f1_macro": lambda p, t: reference.f1_score(t, p > 0.5, average="macro"),
    "balanced_accuracy": lambda p, t: reference.balanced_accuracy_score(t, p > 0.5),
    "auc": lambda p, t: reference.roc_auc_score(t, p),
    "average_precision": lambda p, t: reference.average_precision_score(t, p),
    "log_loss": lambda p, t: reference.log_loss(t, p),
    "brier": lambda p, t: reference.brier_score_loss(t, p),
}


@pytest.mark.parametrize("name", TWO)
def test_two_classes_as_one_output_or_two(name: str) -> None:
    logits, targets = rows(1, 90), labels(1, 2, 90)
    expected = TWO[name](logits.sigmoid(), targets)
    approx = pytest.approx(expected, abs=BOUND)
    column = logits[:, None], targets[:, None].double()
    assert measured(name, *column, "bce_with_logits") == approx
    assert measured(name, column[0].sigmoid(), column[1], "bce") == approx
    if name != "brier":  # of two outputs it is the sum over both classes
        pair = torch.stack([torch.zeros_like(logits), logits], 1)
        assert measured(name, pair, targets, "cross_entropy") == approx
    half = measured("brier", torch.stack([0 * logits, logits], 1), targets, "cross_entropy") / 2
    assert half == pytest.approx(TWO["brier"](logits.sigmoid(), targets), abs=BOUND)


LABELS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "f1_macro": lambda p, t: reference.f1_score(t, p > 0.5, average="macro", zero_division=0),
    "f1_micro": lambda p, t: reference.f1_score(t, p > 0.5, average="micro"),
    "precision_weighted": lambda p, t: reference.precision_score(
        t, p > 0.5, average="weighted", zero_division=0
    ),
    "recall_macro": lambda p, t: reference.recall_score(
        t, p > 0.5, average="macro", zero_division=0
    ),
    "label_accuracy": lambda p, t: 1 - reference.hamming_loss(t, p > 0.5),
    "exact_match": lambda p, t: reference.accuracy_score(t, p > 0.5),
    "auc": lambda p, t: reference.roc_auc_score(t[:, 1:], p[:, 1:]),
    "average_precision": lambda p, t: reference.average_precision_score(t[:, 1:], p[:, 1:]),
    "brier": lambda p, t: ((p - t) ** 2).mean(),
    "log_loss": lambda p, t: np.mean([reference.log_loss(t[:, k], p[:, k], labels=[0, 1]) for k in range(4)]),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_labels_one_of_which_no_row_has(name: str) -> None:
    logits, targets = rows(2, 70, 4), labels(2, 2, 70, 4)
    targets[:, 0] = 0
    expected = LABELS[name](logits.sigmoid().numpy(), targets.numpy())  # type: ignore[arg-type]
    approx = pytest.approx(float(expected), abs=BOUND)
    assert measured(name, logits, targets.double(), "bce_with_logits") == approx
    assert measured(name, logits.sigmoid(), targets.double(), "bce") == approx


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k(k: int) -> None:
    outputs, targets = rows(3, 80, 5, ties=False), labels(3, 5, 80)
    expected = reference.top_k_accuracy_score(targets, outputs, k=k)
    assert measured(f"top{k}_accuracy", outputs, targets, "cross_entropy") == expected
    assert top_k(k)(outputs, targets) == expected
    tied = rows(3, 80, 5)
    assert top_k(1)(tied, targets) == as_metric("accuracy")(tied, targets)


def test_calibration_by_its_definition() -> None:
    outputs, targets = rows(4, 200, 3, ties=False), labels(4, 3, 200)
    for bins in (1, 10, 15):
        p = outputs.softmax(1).numpy()
        confidence, right = p.max(1), p.argmax(1) == targets.numpy()
        expected = 0.0
        for b in range(bins):
            here = (confidence > b / bins) & (confidence <= (b + 1) / bins)
            if here.any():
                expected += here.mean() * abs(right[here].mean() - confidence[here].mean())
        assert calibration_error(bins)(outputs, targets) == pytest.approx(expected, abs=BOUND)
    # of one output, the confidence is that of the class that is predicted
    one = torch.tensor([0.93, 0.23, 0.77, 0.64]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    expected = 0.25 * (abs(1 - 0.93) + abs(1 - 0.77 + 0 - 0.77) + abs(1 - 0.64))
    assert measured(calibration_error(10), *one, "bce") == pytest.approx(expected, abs=1e-6)


def test_confusion_matrices() -> None:
    outputs, targets = rows(5, 60, 4), labels(5, 3, 60)
    expected = reference.confusion_matrix(targets, outputs.argmax(1), labels=range(4))
    same(confusion_matrix(outputs, targets).numpy(), expected, because=COUNTS)
    logits, many = rows(5, 60, 3), labels(5, 2, 60, 3)
    of_labels = reference.multilabel_confusion_matrix(many, logits > 0)
    found = confusion_matrix(logits, many, loss="binary_cross_entropy_with_logits")
    same(found.numpy(), of_labels, because=COUNTS)
    one = confusion_matrix(logits[:, 0], many[:, 0])
    of_one = reference.confusion_matrix(many[:, 0], logits[:, 0] > 0)
    same(one.numpy(), of_one, because=COUNTS)


def settings(name: str) -> tuple[Tensor, Tensor, str]:
    if name in ("mse", "rmse", "mae", "r2"):
        return rows(6, 50, 3), rows(7, 50, 3), "mse"
    if name in ("label_accuracy", "exact_match"):
        return rows(6, 50, 3), labels(6, 2, 50, 3).double(), "bce_with_logits"
    if name in ("f1", "precision", "recall"):
        return rows(6, 50, 2), labels(6, 2, 50), "cross_entropy"
    return rows(6, 50, CLASSES), labels(6, CLASSES, 50), "cross_entropy"


@pytest.mark.parametrize("name", metric_names())
def test_batches_give_what_the_whole_set_gives(name: str) -> None:
    outputs, targets, loss = settings(name)
    if loss == "cross_entropy":
        targets[::4] = -100
        targets[40:44] = -100  # a batch of which nothing counts
    meter = Meter(Cost(loss, metrics=name).measures)
    for start in range(0, 50, 4):
        batch = slice(start, start + 4)
        meter.add(0.0, outputs[batch], targets[batch], len(targets[batch]))
        meter._measure() if meter._may_let_go else None
    assert meter.scores()[name] == pytest.approx(measured(name, outputs, targets, loss), abs=BOUND)


@pytest.mark.parametrize("name", [n for n in metric_names() if settings(n)[2] == "cross_entropy"])
def test_what_the_loss_ignores_counts_in_no_metric(name: str) -> None:
    outputs, targets, _ = settings(name)
    marked = torch.where(torch.arange(50) % 3 == 0, 99, targets)
    (metric,) = Cost(torch.nn.CrossEntropyLoss(ignore_index=99), metrics=name).measures
    kept = marked != 99
    expected = measured(name, outputs[kept], targets[kept], "cross_entropy")
    assert metric(outputs, marked) == pytest.approx(expected, abs=BOUND)
    # positions of images, (rows, classes, …) with (rows, …), count as rows do
    image = outputs.reshape(10, 5, -1).movedim(-1, 1)
    assert metric(image, marked.reshape(10, 5)) == pytest.approx(expected, abs=BOUND)
    if name not in ("accuracy", "error_rate"):
        assert math.isnan(metric(outputs, torch.full_like(marked, 99)))


def test_one_class_alone() -> None:
    outputs, targets = rows(8, 20), torch.ones(20)
    for loss in ("bce_with_logits", "cross_entropy"):
        given = outputs if loss == "bce_with_logits" else torch.stack([-outputs, outputs], 1)
        wanted = targets if loss == "bce_with_logits" else targets.long()
        assert math.isnan(measured("auc", given, wanted, loss))
        assert measured("average_precision", given, wanted, loss) == pytest.approx(1.0)
        assert math.isnan(measured("average_precision", given, wanted * 0, loss))
        assert measured("recall", given, wanted * 0, loss) == pytest.approx(0.0)
    ranked = measured("auc", torch.full((4,), torch.nan), torch.tensor([0.0, 1, 0, 1]), "bce")
    assert math.isnan(ranked)


SCORES = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("metric", "outputs", "targets", "loss", "message"),
    [
        ("f1", SCORES, labels(0, 4, 6), "cross_entropy", "with 4 classes choose f1_macro"),
        ("recall", SCORES, labels(0, 2, 6, 4), "bce_with_logits", "with 4 labels choose recall_m"),
        ("top5_accuracy", SCORES, labels(0, 4, 6), "cross_entropy", "Choose k below 4"),
        ("top2_accuracy", SCORES[:, 0], labels(0, 2, 6), "bce", "one output for each of several"),
        ("exact_match", SCORES, labels(0, 4, 6), "cross_entropy", "choose accuracy"),
        ("balanced_accuracy", SCORES, labels(0, 2, 6, 4), "bce", "choose recall_macro"),
        ("calibration_error", SCORES, labels(0, 2, 6, 4), "bce", "choose brier"),
        ("auc", SCORES, labels(0, 4, 6) + 1, "cross_entropy", "found class 4; with 4 outputs"),
        ("auc", SCORES, labels(0, 4, 5), "cross_entropy", r"\(6, 4\) outputs do not fit \(5,\)"),
        ("f1_macro", SCORES, SCORES[:, 0], "mse", "Targets are class numbers"),
        ("auc", {"a": SCORES}, labels(0, 4, 6), "mse", "wants a tensor of outputs .* got dict"),
        ("brier", SCORES, labels(0, 4, 6), "multi_margin_loss", "scores of multi_margin_loss are"),
    ],
)
def test_what_a_metric_cannot_be_had_of(
    metric: str, outputs: Any, targets: Tensor, loss: str, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        measured(metric, outputs, targets, loss)


@pytest.mark.parametrize("make", [top_k, calibration_error])
@pytest.mark.parametrize("number", [0, -1, 1.5, "3", True])
def test_makers_want_whole_numbers(make: Any, number: Any) -> None:
    with pytest.raises(TaskError, match="an integer ≥ 1"):
        make(number)


def test_what_happens_to_orders_by_margins() -> None:
    outputs, targets = rows(9, 30, 3), labels(9, 3, 30)
    expected = reference.roc_auc_score(np.eye(3)[targets], outputs, average="macro")
    assert measured("auc", outputs, targets, "multi_margin_loss") == pytest.approx(expected)
