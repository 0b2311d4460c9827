"""Weights of rows and of classes: a whole weight n counts as n rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.exact import close
from tests.train.helpers import same_run
from thalweg.errors import DataError, TaskError
from thalweg.objective import Cost
from thalweg.objective.weighted import Weighted
from thalweg.tasks import Data, Task
from thalweg.tasks.hashes import data_hash
from thalweg.train import fit

ROWS = 30
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 3, generator=GENERATOR, dtype=torch.float64)
REAL = torch.randn(ROWS, 4, generator=GENERATOR, dtype=torch.float64)
CLASSES = torch.randint(0, 4, (ROWS,), generator=GENERATOR)
CLASSES[::7] = -100
TIMES = torch.randint(0, 4, (ROWS,), generator=GENERATOR)
CLASS_WEIGHTS = [1.0, 3.0, 0.5, 2.0]
MANY = torch.repeat_interleave(torch.arange(ROWS), TIMES)

LOSSES: list[tuple[Any, Tensor]] = [
    ("cross_entropy", CLASSES),
    ("cross_entropy", REAL.softmax(1)),
    (nn.CrossEntropyLoss(weight=torch.tensor(CLASS_WEIGHTS, dtype=torch.float64)), CLASSES),
    (nn.CrossEntropyLoss(reduction="sum"), CLASSES),
    (nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=2), CLASSES.clamp(min=0)),
    ("multi_margin_loss", CLASSES.clamp(min=0)),
    ("mse", REAL),
    ("half_mse", REAL),
    ("mae", REAL),
    ("huber", REAL),
    ("bce_with_logits", REAL.sigmoid()),
    ("kl_div", REAL.softmax(1)),
    (nn.KLDivLoss(reduction="batchmean"), REAL.softmax(1)),
    (functional.smooth_l1_loss, REAL),
    (nn.BCEWithLogitsLoss(pos_weight=torch.ones(4, dtype=torch.float64) * 3), REAL.sigmoid()),
]


def model() -> nn.Module:
    return nn.Linear(3, 4).double()


def run(data: Any, loss: Any, **settings: Any) -> Any:
    cost = loss if isinstance(loss, Cost) else Cost(loss)
    defaults = {"lr": 0.01, "epochs": 3, "batch_size": None, "progress": False}
    return fit(Task(data, cost, model), "sgd", **(defaults | settings))


@pytest.mark.parametrize("case", range(len(LOSSES)))
def test_whole_weights_are_repeated_rows(case: int) -> None:
    loss, y = LOSSES[case]
    weighted = run(Data.arrays(X, y, weights=TIMES, validation=(X, y, TIMES)), loss)
    repeated = run(Data.arrays(X[MANY], y[MANY], validation=(X[MANY], y[MANY])), loss)
    for a, b in zip(weighted.history, repeated.history, strict=True):
        assert a.train.loss == pytest.approx(b.train.loss, rel=1e-9)  # float64, 30 terms
        assert a.validation.loss == pytest.approx(b.validation.loss, rel=1e-9)
    for p, q in zip(weighted.model.parameters(), repeated.model.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", range(len(LOSSES)))
def test_the_loss_of_a_set_does_not_depend_on_its_batches(case: int) -> None:
    loss, y = LOSSES[case]
    cost = Cost(loss)
    meter = cost.meter()
    outputs = X @ torch.ones(3, 4, dtype=torch.float64) * torch.arange(4)
    whole = cost.surrogate(outputs, Weighted(y, TIMES))
    for start in range(0, ROWS, 7):  # the last batch has two rows
        part = slice(start, start + 7)
        given = Weighted(y[part], TIMES[part])
        value, weight = cost.surrogate.measured(outputs[part], given, len(y[part]))
        meter.add(float(value), outputs[part], given, len(y[part]), weight)
    assert meter.scores().loss == pytest.approx(float(whole), rel=1e-12)


def test_equal_weights_change_nothing() -> None:
    weighted = run(Data.arrays(X, REAL, weights=torch.full((ROWS,), 0.7)), "mse", batch_size=8)
    plain = run(Data.arrays(X, REAL), "mse", batch_size=8)
    for p, q in zip(weighted.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-12)  # float64, the same rows in the same order
    assert weighted.evaluate("train").loss == pytest.approx(plain.evaluate("train").loss)


def test_loaders_and_data_sets_of_triples() -> None:
    triples = TensorDataset(X, REAL, TIMES.double())
    settings = {"batch_size": 8, "shuffle": "never"}
    arrays = run(Data((X, REAL, TIMES)), "mse", **settings)
    for data in (
        Data(DataLoader(triples, 8)),
        Data(triples),
        Data.dataset(triples),
        Data(DataLoader(list(zip(X, REAL, TIMES.tolist(), strict=True)), 8)),  # type: ignore[arg-type]
    ):
        found = run(data, "mse", **settings)
        close(
            [*found.model.parameters()],
            [*arrays.model.parameters()],
            ulps=64,
            because="the same rows, whose weights may be whole or real numbers",
        )


def test_metrics_count_every_row_once() -> None:
    cost = Cost("cross_entropy", metrics=["accuracy", "f1_macro"])
    trained = run(Data.arrays(X, CLASSES, weights=TIMES), cost, batch_size=8)
    weighted = trained.evaluate("train")
    assert weighted["accuracy"] == pytest.approx(cost.measures[0](trained.predict(X), CLASSES))
    assert weighted["f1_macro"] == pytest.approx(cost.measures[1](trained.predict(X), CLASSES))


def test_class_weights_are_those_of_the_module() -> None:
    module = nn.CrossEntropyLoss(weight=torch.tensor(CLASS_WEIGHTS, dtype=torch.float64))
    data = Data.arrays(X, CLASSES, validation=0.3)
    named = run(data, Cost("cross_entropy", class_weights=CLASS_WEIGHTS), batch_size=4)
    same_run(named, run(data, module, batch_size=4), because="the same calls of PyTorch")
    times = torch.tensor([1, 3, 2, 2])
    weighted = Data.arrays(X, CLASSES, weights=times[CLASSES.clamp(min=0)])
    by_rows = run(weighted, "cross_entropy")
    by_class = run(Data.arrays(X, CLASSES), Cost("cross_entropy", class_weights=times))
    assert by_rows.evaluate("train").loss == pytest.approx(by_class.evaluate("train").loss)
    assert Cost("nll", class_weights=[1, 2]) == Cost("nll", class_weights=torch.tensor([1.0, 2.0]))


def own(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    losses = (outputs - targets).abs().sum(1)
    return losses if reduction == "none" else losses.mean()


def test_functions_that_know_reductions() -> None:
    found = run(Data.arrays(X, REAL, weights=TIMES), own)
    expected = run(Data.arrays(X[MANY], REAL[MANY]), own)
    assert found.history[-1].train.loss == pytest.approx(expected.history[-1].train.loss)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(ROWS, 1), r"one number for each row, of shape \(30,\); got \(30, 1\)"),
        (torch.ones(4), r"of shape \(30,\); got \(4,\)"),
        (-torch.ones(ROWS), "finite numbers ≥ 0; got -1"),
        (torch.full((ROWS,), torch.nan), "finite numbers ≥ 0; got nan"),
        (torch.zeros(ROWS), "All weights of the train set are 0"),
    ],
)
def test_what_is_no_weight(weights: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Data.arrays(X, REAL, weights=weights)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, t: (o - t).square().mean(), "gives no loss of each row. Use one by name"),
        (Cost("mse", batch_weight=lambda o, t: 1.0), "leave batch_weight out"),
        (lambda o, t, reduction: (o - t).square().mean(), r"\(rows, …\); got \(\) for"),
    ],
)
def test_losses_without_rows_are_refused_before_training(loss: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        run(Data.arrays(X, REAL, weights=TIMES), loss)


@pytest.mark.parametrize("weights", [[1, 2], [1, 1, 1, -1], [0, 0, 0, 0], "balanced", 3])
def test_class_weights_that_do_not_fit(weights: Any) -> None:
    with pytest.raises(TaskError, match=r"class_weights (are|must be) .*one"):
        run(Data.arrays(X, CLASSES), Cost("cross_entropy", class_weights=weights))


def test_class_weights_of_other_losses() -> None:
    for loss in ("mse", nn.CrossEntropyLoss()):
        with pytest.raises(TaskError, match="'cross_entropy' and 'nll_loss' by name"):
            Cost(loss, class_weights=CLASS_WEIGHTS)


def test_weights_belong_to_what_the_data_are() -> None:
    hashes = {data_hash(Data.arrays(X, REAL, weights=w)) for w in (None, TIMES, TIMES + 1)}
    assert len(hashes) == 3
    labels = CLASSES.clone()
    labels[-1] = 9
    with pytest.raises(DataError, match="found 9, but the model has 4"):
        run(Data.arrays(X, labels, weights=TIMES), "cross_entropy")
