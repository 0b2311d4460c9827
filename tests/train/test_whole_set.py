"""What a run measures on a set, in batches and in stacks, is what is so of the whole set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from thalweg import optim
from thalweg.errors import DataError, TaskError
from thalweg.meta import SAM
from thalweg.objective import L1, L2, Cost, Metric
from thalweg.tasks import Data, Target, Task
from thalweg.train import EarlyStopping, find_lr, fit
from thalweg.train.health.check import check_task
from thalweg.train.trained.evaluate import evaluate

ROWS = 1500
"""More than one batch of an evaluation, and the last one is shorter."""


def data(ignored: int = 0) -> tuple[Tensor, Tensor]:
    """The rows of class 1, and those that are ignored, are not spread evenly."""
    x = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0)).double()
    y = torch.cat([torch.zeros(1200), torch.ones(300)]).long()
    y[:ignored] = -100
    return x, y


def linear() -> nn.Module:
    return nn.Linear(2, 2).double()


def still(x: Any, y: Any, cost: Any, model: Any = linear, **settings: Any) -> Any:
    """A run that does not move, so that what it measures on the way is true of its end."""
    task = Task(Data.arrays(x, y), cost, model)
    return fit(task, optim.SGD, lr=0.0, epochs=1, progress=False, **settings)


@pytest.mark.parametrize(
    ("loss", "ignored"),
    [
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 20.0]).double()), 0),
        (nn.CrossEntropyLoss(), 1030),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 20.0]).double(), label_smoothing=0.1), 1030),
        (nn.CrossEntropyLoss(reduction="sum"), 7),
        (lambda o, t: nn.functional.cross_entropy(o, t), 1030),
    ],
)
@pytest.mark.parametrize("shuffle", ["epoch", "never"])
def test_losses_in_evaluation_and_in_training(loss: Any, ignored: int, shuffle: str) -> None:
    x, y = data(ignored)
    run = still(x, y, loss, shuffle=shuffle)
    whole = loss(run.model(x), y).item()
    assert run.evaluate("train").loss == pytest.approx(whole, rel=1e-12)
    assert run.history[0].train_loss == pytest.approx(whole, rel=1e-12)


def test_accuracy_counts_what_the_loss_counts() -> None:
    x, y = data()
    y[:700] = 7
    cost = Cost(nn.CrossEntropyLoss(ignore_index=7), metrics=["accuracy", "error_rate"])
    run = still(x, y, cost)
    right = (run.model(x).argmax(1) == y)[700:].double().mean().item()
    for scores in (run.evaluate("train"), run.history[0].train):
        assert scores["accuracy"] == pytest.approx(right, rel=1e-12)
        assert scores["error_rate"] == pytest.approx(1 - right, rel=1e-12)


def test_an_optimizer_that_evaluates_by_itself() -> None:
    x, y = data(1030)
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 20.0]).double())
    task = Task(Data.arrays(x, y), Cost(loss), linear)

    def sam(parameters: Any, lr: float) -> Any:
        return SAM(torch.optim.SGD(parameters, lr=lr))

    run = fit(task, sam, lr=0.0, epochs=1, shuffle="never", progress=False)
    whole = loss(run.model(x), y).item()
    assert run.history[0].train_loss == pytest.approx(whole, rel=1e-12)
    assert run.steps == 4  # of 12 batches, eight are ignored from end to end


def test_a_batch_in_which_nothing_counts_is_no_step() -> None:
    x, y = data(1030)
    task = Task(Data.arrays(x, y), "cross_entropy", linear)
    run = fit(task, optim.Adam, lr=0.1, epochs=2, shuffle="never", progress=False)
    kept = fit(
        Task(Data.arrays(x[1024:], y[1024:]), "cross_entropy", linear),
        optim.Adam,
        lr=0.1,
        epochs=2,
        shuffle="never",
        progress=False,
    )
    assert (run.steps, run.gradients) == (kept.steps, kept.gradients) == (8, 2 * 476 / 128)
    assert torch.allclose(run.model.weight, kept.model.weight, rtol=1e-12)  # type: ignore[arg-type]


class Sequences(Dataset[tuple[Tensor, Tensor]]):
    """Rows of three lengths, which a loader makes batches of one length of."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        length = (2, 7, 3)[k // 3]
        row = torch.arange(float(length)).double() + k
        return row, row.sin()


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


@pytest.mark.parametrize("metrics", [None, "mse"])
def test_batches_of_sequences_of_unequal_lengths(metrics: str | None) -> None:
    loader: DataLoader[Any] = DataLoader(Sequences(), batch_size=3)
    run = fit(
        Task(loader, Cost("mse", metrics=metrics), Scale),  # type: ignore[arg-type]
        optim.SGD,
        lr=0.0,
        epochs=1,
        progress=False,
    )
    pairs = [Sequences()[k] for k in range(9)]
    errors = torch.cat([0.5 * x - y for x, y in pairs]).square().mean().item()
    assert run.evaluate("train").loss == pytest.approx(errors, rel=1e-12)
    assert run.history[0].train_loss == pytest.approx(errors, rel=1e-12)
    if metrics:
        assert run.evaluate("train")["mse"] == pytest.approx(errors, rel=1e-12)


class Two(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        z = super().forward(x)
        return {"logits": z, "twice": (2 * z, None)}


def f1(outputs: Any, targets: Tensor) -> Tensor:
    predicted = (outputs["twice"][0] > 0).double()
    return 2 * (predicted * targets).sum() / (predicted.sum() + targets.sum())


def test_a_metric_of_the_whole_set_with_structured_outputs() -> None:
    x, y = data()
    y = y[:, None].double()
    cost = Cost(
        lambda o, t: nn.functional.binary_cross_entropy_with_logits(o["logits"], t),
        metrics=Metric("f1", f1, additive=False),
    )
    run = still(x, y, cost, lambda: Two(2, 1).double())
    whole = f1(run.model(x), y).item()
    assert run.evaluate("train")["f1"] == pytest.approx(whole, rel=1e-12)
    assert run.history[0].train["f1"] == pytest.approx(whole, rel=1e-12)


def test_all_ignored() -> None:
    x, y = data()
    nothing = torch.full_like(y, -100)
    with pytest.raises(DataError, match="All targets of the train set are -100"):
        still(x, nothing, "cross_entropy")
    loader: Any = DataLoader(torch.utils.data.StackDataset(x, nothing), batch_size=500)
    with pytest.raises(DataError, match="Nothing in the training set counted"):
        fit(Task(loader, "cross_entropy", linear), optim.SGD, epochs=1, progress=False)


def test_a_validation_set_in_which_nothing_counts_is_refused() -> None:
    """However it comes, and however the loss is given: its figure would be NaN in every epoch."""
    x, y = data()
    nothing = torch.full_like(y, -100)
    loader: Any = DataLoader(torch.utils.data.StackDataset(x, nothing), batch_size=500)
    loss = nn.functional.cross_entropy
    hidden = lambda outputs, targets: loss(outputs, targets)  # noqa: E731
    for held, cost in ((loader, "cross_entropy"), ((x, nothing), hidden)):
        task = Task(Data((x, y), held), Cost(cost), linear)
        with pytest.raises(DataError, match="Nothing in the validation set counts") as caught:
            fit(task, optim.SGD, epochs=2, progress=False)
        assert caught.value.run.steps > 0  # type: ignore[attr-defined]
        with pytest.raises(DataError, match="Nothing in the validation set counts"):
            check_task(task)
    run = still(x, y, Cost(hidden))
    assert np.isnan(evaluate(run.model, Data(loader).train, run.task.cost).loss)  # nobody needs it


def test_the_range_test_passes_over_what_counts_for_nothing() -> None:
    x, y = data(1030)
    # each batch of the first two thirds holds ignored rows alone, now and then
    found = find_lr(Task((x, y), "cross_entropy", linear), torch.optim.SGD, batch_size=4, seeds=1)
    assert found.sweeps[0].stopped != "not finite"
    assert len(found.sweeps[0].losses) > 20


def test_the_range_test_of_a_sum_does_not_fall_at_the_last_batch() -> None:
    x, y = data()
    x = torch.zeros_like(x)  # the loss of a row is log 2, whatever the weights
    model = lambda: nn.Linear(2, 2, bias=False).double()  # noqa: E731
    task = Task((x, y), nn.CrossEntropyLoss(reduction="sum"), model)
    (only,) = find_lr(task, torch.optim.SGD, batch_size=400, seeds=1, steps=10).sweeps
    assert only.losses == pytest.approx([only.start] * len(only.losses), rel=1e-9)


class Spoilt(nn.Linear):
    """NaN in the first evaluation."""

    measured = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.trained = True
        elif getattr(self, "trained", False):
            self.measured += 1
        nan = not self.training and self.measured == 1
        return super().forward(x) * (float("nan") if nan else 1)


@pytest.mark.parametrize("stop", [None, EarlyStopping(patience=9)])
def test_an_epoch_that_is_nan_is_not_the_best(stop: EarlyStopping | None) -> None:
    x, _ = data()
    task = Task(Data.arrays(x, x[:, :1], validation=0.2), "mse", lambda: Spoilt(2, 1).double())
    run = fit(task, optim.Adam, epochs=3, early_stopping=stop, progress=False)
    losses = run.history.column("validation_loss")
    assert losses[0] != losses[0]
    assert run.best is not None
    assert run.best.epoch == 1 + losses.index(min(losses[1:]))


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[3 + 4j]], dtype=torch.complex128))

    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.complex128) @ self.w


def test_complex_weights() -> None:
    x = torch.ones(4, 1, dtype=torch.float64)
    model = Complex()
    penalty = L2(0.5)(model)
    penalty.backward()
    assert (L1(1.0)(model).item(), penalty.item()) == pytest.approx((5, 12.5))
    assert model.w.grad is not None
    assert torch.allclose(model.w.grad, model.w)  # 2 · strength · w
    cost = Cost(
        lambda o, t: (o - t).abs().square().mean(), penalty=L2(1e-3), metrics=["mae", "mse"]
    )
    run = fit(Task((x, x), cost, Complex), optim.Adam, epochs=1, progress=False)
    error = (run.model(x) - x).abs()
    assert run.evaluate("train")["mae"] == pytest.approx(error.mean().item())
    assert run.evaluate("train")["mse"] == pytest.approx(error.square().mean().item())
    tolerant = fit(
        Task((x, x), cost, Complex),
        optim.SGD,
        batch_size=None,
        epochs=3,
        gradient_tolerance=1e3,
        progress=False,
    )
    assert tolerant.stopped == "gradient"


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (lambda o, t: (o - t).square().mean(), "gives a complex number.*Take the real part"),
        ("mse", "compares real numbers, and the model gives torch.complex128"),
        (
            Cost(lambda o, t: o.abs().mean(), penalty=lambda m: m.w.square().sum()),
            "penalty must return one number as a tensor; got a complex one",
        ),
    ],
)
def test_what_is_complex_cannot_be_descended(cost: Any, message: str) -> None:
    x = torch.ones(4, 1, dtype=torch.float64)
    with pytest.raises(TaskError, match=message):
        fit(Task((x, x), cost, Complex), optim.Adam, epochs=1, progress=False)


def test_complex_targets_are_not_cut_to_their_real_parts() -> None:
    x = torch.ones(4, 1)
    with pytest.raises(TaskError, match="imaginary parts"):
        fit(Task((x, 1j * x), "mse", lambda: nn.Linear(1, 1)), optim.Adam, progress=False)


def test_numbers_too_large_for_the_model() -> None:
    x = torch.tensor([[1.0], [1e300]], dtype=torch.float64)
    with pytest.raises(DataError, match=r"too large for the model's torch.float32, first in row 1"):
        fit(Task((x, x * 0), "mse", lambda: nn.Linear(1, 1)), optim.Adam, progress=False)


def test_a_target_is_met_by_the_loss_of_the_set() -> None:
    x, y = data(1030)
    task = Task(Data.arrays(x[1020:], y[1020:], validation=(x, y)), Cost("cross_entropy"), linear)
    run = fit(task, optim.SGD, lr=0.0, epochs=1, progress=False)
    whole = nn.functional.cross_entropy(run.model(x), y).item()
    reached = fit(
        task, optim.SGD, lr=0.0, epochs=1, stop_at=Target("loss", whole * 1.0001), progress=False
    )
    assert reached.stopped == "target"
