from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from tests.exact import RERUN, close, same
from tests.train.helpers import blobs, measured, noisy_net, other_run, quiet, same_run, weights
from thalweg.errors import DataError, TaskError
from thalweg.objective import L2, Cost
from thalweg.tasks import Data, Target, Task, load_task
from thalweg.train import EarlyStopping, evaluate


def test_digits_reach_their_target() -> None:
    run = quiet(load_task("digits"), lr=0.01, epochs=12, batch_size=32)
    assert run.reached is not None
    assert run.reached.epoch <= 8
    assert run.reached.value >= 0.95
    assert run.evaluate("test")["accuracy"] > 0.9
    poor = quiet(load_task("digits"), torch.optim.SGD, lr=0.001, epochs=3, batch_size=32)
    assert poor.reached is None


def test_a_run_is_a_function_of_the_seed() -> None:
    first = quiet(blobs(), epochs=3)
    torch.manual_seed(123)
    torch.rand(7)
    same_run(quiet(blobs(), epochs=3), first, because=RERUN)
    other_run(quiet(blobs(), epochs=3, seed=1), first)


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    quiet(blobs(), epochs=1)
    same(torch.get_rng_state(), before, because="no random number was drawn")


def test_initial_weights_are_those_after_manual_seed() -> None:
    run = quiet(blobs(), torch.optim.SGD, lr=0.0, epochs=1, seed=7)
    torch.manual_seed(7)
    twin = noisy_net()
    same(run.model.parameters(), twin.parameters(), because=RERUN)


def test_trajectory_equals_a_loop_by_hand() -> None:
    task = blobs(
        model=lambda: nn.Linear(2, 3).double(), cost=Cost("cross_entropy", penalty=L2(0.1))
    )
    run = quiet(task, functools.partial(torch.optim.SGD, momentum=0.9), epochs=2, shuffle="never")
    torch.manual_seed(0)
    model = nn.Linear(2, 3).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    ((x, y),) = task.data.train.batches(None)
    losses = []
    for _ in range(2):
        total = 0.0
        for xb, yb in zip(x.split(8), y.split(8), strict=True):
            loss = nn.functional.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            (loss + 0.1 * (model.weight**2).sum()).backward()
            optimizer.step()
            total += loss.item() * len(xb)
        losses.append(total / len(x))
    close(run.model.weight, model.weight, ulps=32, because="the penalty may be another sum")
    assert run.history.column("train_loss") == pytest.approx(losses, rel=1e-14)
    penalty = (0.1 * (model.weight**2).sum()).item()
    assert run.history[-1].penalty == pytest.approx(penalty, rel=1e-14)


@pytest.mark.parametrize("batch_size", [None, 35, 1000])
def test_a_batch_of_all_rows_is_gradient_descent(batch_size: int | None) -> None:
    task = blobs(model=lambda: nn.Linear(2, 3).double())
    run = quiet(task, torch.optim.SGD, epochs=5, batch_size=batch_size)
    torch.manual_seed(0)
    model = nn.Linear(2, 3).double()
    ((x, y),) = task.data.train.batches(None)
    assert len(x) == 35
    for _ in range(5):
        model.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.05 * p.grad
    assert run.steps == 5
    close(run.model.weight, model.weight, ulps=32, because="shuffled rows sum in another order")


def test_weight_decay_is_a_multiplicative_shrink() -> None:
    lr, strength = 0.05, 0.2
    plain = blobs(model=lambda: nn.Linear(2, 3).double())
    decayed = plain.replace(cost=Cost("cross_entropy", penalty=L2(strength)))
    torch.manual_seed(0)
    start = nn.Linear(2, 3).double()
    a, b = (
        quiet(t, torch.optim.SGD, lr=lr, epochs=1, batch_size=None).model for t in (plain, decayed)
    )
    torch.testing.assert_close(
        b.weight, a.weight - 2 * lr * strength * start.weight, rtol=1e-14, atol=1e-15
    )
    gradient_step = a.weight - start.weight
    torch.testing.assert_close(
        b.weight, (1 - 2 * lr * strength) * start.weight + gradient_step, rtol=1e-14, atol=1e-15
    )
    same(a.bias, b.bias, because=RERUN)


def test_every_row_is_seen_once_an_epoch() -> None:
    seen: list[torch.Tensor] = []

    class Watch(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.append(x.detach().clone())
            return super().forward(x)

    task = blobs(model=lambda: Watch(2, 3).double())
    run = quiet(task, torch.optim.SGD, epochs=2, batch_size=8)
    assert [len(x) for x in seen] == [8, 8, 8, 8, 3] * 2
    assert run.steps == 10
    ((expected, _),) = task.data.train.batches(None)
    for epoch in (seen[:5], seen[5:]):
        rows = torch.cat(epoch).tolist()
        assert sorted(rows) == sorted(expected.tolist())
        assert rows != expected.tolist()


def test_a_set_of_one_row() -> None:
    task = Task(Data.arrays([[1.0]], [[2.0]]), Cost("mse"), lambda: nn.Linear(1, 1))
    run = quiet(task, torch.optim.SGD, lr=0.2, epochs=50)
    assert run.predict(np.array([[1.0]]))[0, 0] == pytest.approx(2, abs=1e-4)


def test_modes_are_right_in_training_and_restored_after() -> None:
    modes: list[bool] = []

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = noisy_net()
            self.frozen = nn.Dropout(0.5).eval()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            modes.append(self.net.training)
            return self.net(x)  # type: ignore[no-any-return]

    run = quiet(blobs(model=Watch), epochs=1, batch_size=18)
    # the probes of the three sets, two steps, the validation set
    assert modes == [False, False, False, True, True, False]
    assert run.model.training
    assert not run.model.frozen.training  # type: ignore[union-attr]
    run.model.eval()
    run.evaluate()
    run.predict(np.zeros((2, 2)))
    assert not run.model.training


def test_evaluation_has_no_effect_on_training() -> None:
    often = quiet(blobs(), epochs=3, evaluate_every=1)
    never = quiet(blobs().replace(data=Data(blobs().data.train)), epochs=3)
    same(weights(often), weights(never), because=RERUN)
    assert [e.step for e in often.evaluations] == list(range(1, 16))
    assert often.evaluations[4].scores == often.history[0].validation
    assert never.evaluations == []


def test_records() -> None:
    run = quiet(blobs(cost=Cost("cross_entropy", ["accuracy", "error_rate"], L2(0.1))), epochs=2)
    record = run.history[0]
    assert list(record.as_dict()) == [
        "epoch",
        "step",
        "seconds",
        "lr",
        "train_loss",
        "penalty",
        "train_accuracy",
        "train_error_rate",
        "validation_loss",
        "validation_accuracy",
        "validation_error_rate",
    ]
    assert (record.epoch, record.step, record.lr) == (1, 5, 0.05)
    assert 0 < record.seconds < run.history[1].seconds == run.seconds
    assert record.train["accuracy"] == pytest.approx(1 - record.train["error_rate"])
    assert record.penalty > 0
    assert run.stopped == "epochs"
    assert run.best == min(run.history, key=lambda e: e.validation.loss)  # type: ignore[union-attr]


def test_evaluation_of_the_whole_set() -> None:
    task = blobs()
    run = quiet(task, epochs=2)
    ((x, y),) = task.data.split("validation").batches(None)
    run.model.eval()
    with torch.no_grad():
        outputs = run.model(x)
    expected = nn.functional.cross_entropy(outputs, y).item()
    for size in (1, 3, 100):
        scores = evaluate(run.model, task.data.split("validation"), task.cost, batch_size=size)
        assert scores.loss == pytest.approx(expected, rel=1e-12)
        assert scores["accuracy"] == pytest.approx((outputs.argmax(1) == y).double().mean().item())
    assert run.history[-1].validation == run.evaluate("validation")


def test_predict_gives_back_the_kind_it_got() -> None:
    run = quiet(blobs(), epochs=1)
    x = np.random.default_rng(0).normal(size=(5, 2))
    array, tensor = run.predict(x), run.predict(torch.from_numpy(x))
    assert isinstance(array, np.ndarray)
    assert isinstance(tensor, torch.Tensor)
    same(array, tensor.numpy(), because=RERUN)
    same(run.predict(x.tolist()), array, because=RERUN)
    assert not tensor.requires_grad
    same(run.predict(torch.from_numpy(x)), tensor, because=RERUN)  # dropout is off
    with pytest.raises(DataError, match="nothing to predict"):
        run.predict(x[:0])


def test_predict_works_in_the_units_of_the_data() -> None:
    x = np.linspace(100, 300, 40).reshape(-1, 1)
    data = Data.arrays(x, 5 * x + 1000, scale="standard", scale_targets=True)
    task = Task(data, Cost("mse"), lambda: nn.Linear(1, 1).double())
    run = quiet(task, torch.optim.SGD, lr=0.3, epochs=100, batch_size=None)
    np.testing.assert_allclose(run.predict(np.array([[200.0]])), [[2000.0]], rtol=1e-6)


def test_binary_classification_and_integer_targets_of_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)).astype("f4")
    y = (x[:, :1] > 0).astype(int)
    task = Task(
        Data.arrays(x, y, validation=0.2),
        Cost("bce_with_logits", metrics="accuracy"),
        lambda: nn.Linear(2, 1),
    )
    assert quiet(task, lr=0.1, epochs=20).history[-1].validation["accuracy"] == 1  # type: ignore[index]
    task = task.replace(cost=Cost("mse"))
    assert quiet(task, epochs=5).history[-1].train_loss < 0.5


@pytest.mark.parametrize(
    ("x", "y", "cost", "message"),
    [
        (
            np.zeros((4, 3)),
            np.zeros((4, 1)),
            "mse",
            r"cannot take a batch of the train inputs of shape \(2, 3\)",
        ),
        (np.zeros((4, 2), int), np.zeros((4, 1)), "mse", "int64"),
        (np.zeros((4, 2)), np.zeros(4), "mse", r"reshape\(-1, 1\)"),
        (
            np.zeros((4, 2)),
            np.array([0, 1, 2, 0]),
            "cross_entropy",
            "wants one output for each class",
        ),
        (np.zeros((4, 2)), np.zeros((4, 1)), lambda o, t: o, "must return one number"),
    ],
)
def test_what_cannot_be_learned(x: np.ndarray, y: np.ndarray, cost: object, message: str) -> None:
    task = Task(Data.arrays(x, y), Cost(cost), lambda: nn.Linear(2, 1))  # type: ignore[arg-type]
    with pytest.raises(TaskError, match=message):
        quiet(task)


def test_validation_labels_are_checked_before_training() -> None:
    x, y = np.zeros((4, 2)), np.array([0, 1, 2, 0])
    task = blobs(data=Data.arrays(x, y, validation=(x, y + 1)))
    with pytest.raises(DataError, match="found 3"):
        quiet(task)


def test_lazy_modules() -> None:
    task = blobs(model=lambda: nn.LazyLinear(3))
    same_run(quiet(task, epochs=1), quiet(task, epochs=1), because=RERUN)


def test_sorted_data_hurts() -> None:
    """Visiting the classes one after the other undoes with each what was learned of the last."""
    rng = np.random.default_rng(0)
    labels = np.sort(np.arange(300) % 3)
    x = rng.normal(size=(300, 2)) + 3.0 * np.stack([labels == 1, labels == 2], 1)
    task = blobs(data=Data.arrays(x, labels), model=lambda: nn.Linear(2, 3).double())
    results = {
        how: quiet(task, torch.optim.SGD, lr=0.5, epochs=3, batch_size=10, shuffle=how)
        .evaluate("train")
        .loss
        for how in ("never", "once", "epoch")
    }
    assert results["never"] > 1.3 * max(results["once"], results["epoch"])


def test_float32_model_on_float64_arrays() -> None:
    run = quiet(blobs(model=lambda: nn.Linear(2, 3)), epochs=1)
    assert run.predict(np.zeros((1, 2))).dtype == np.float32


def test_stop_at_a_target() -> None:
    full = quiet(blobs(), epochs=6, evaluate_every=2)
    values = {e.step: e.scores.loss for e in full.evaluations}
    goal = sorted(values.values())[len(values) // 2]
    first = next(step for step, value in values.items() if value <= goal)
    run = quiet(blobs(), epochs=6, evaluate_every=2, stop_at=Target("validation loss", goal))
    assert run.stopped == "target"
    assert run.reached is not None
    assert (run.reached.step, run.steps, run.reached.value) == (first, first, values[first])
    assert run.history[-1].step == first
    assert measured(run.history[0]) == measured(full.history[0])
    by_epoch = quiet(blobs(), epochs=6, stop_at=Target("loss", goal))
    assert by_epoch.reached is not None
    assert by_epoch.reached.step % 5 == 0


def test_the_tasks_own_target_is_noted_but_does_not_stop() -> None:
    run = quiet(blobs(target=Target("accuracy", 0.1)), epochs=3)
    assert (run.stopped, run.epochs) == ("epochs", 3)
    assert run.reached is not None
    assert run.reached.epoch == 1


def test_evaluation_time_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from thalweg.train.running import loop

    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    real = loop.evaluate

    def slow(*args: object, **kwargs: object) -> object:
        clock[0] += 1000
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "evaluate", slow)

    class Timed(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            clock[0] += self.training
            return super().forward(x)

    run = quiet(blobs(model=lambda: Timed(2, 3).double()), epochs=2, evaluate_every=2)
    assert run.seconds == run.steps == 10


def test_interruption_returns_what_is_finished() -> None:
    calls = [0]

    class Tired(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls[0] += self.training
            if self.training and calls[0] == 13:
                raise KeyboardInterrupt
            return super().forward(x)

    task = blobs(model=lambda: Tired(2, 3).double())
    run = quiet(task, epochs=5, early_stopping=EarlyStopping(patience=9))
    assert (run.stopped, run.epochs, run.steps) == ("interrupted", 2, 12)
    assert run.best is not None
    assert run.evaluate("validation") == run.best.validation  # the best parameters are back
    assert run.model.training


def test_predict_checks_its_input() -> None:
    run = quiet(blobs(), epochs=1)
    with pytest.raises(
        DataError, match=r"inputs of shape \(rows, 2\), as in training; got \(3, 4\)"
    ):
        run.predict(np.zeros((3, 4)))
    with pytest.raises(DataError, match=r"got \(2,\)"):
        run.predict(np.zeros(2))
    same(run.predict(np.array([[1, 2]])), run.predict(np.array([[1.0, 2.0]])), because=RERUN)
