"""However a run ends, the model is left as promised and nothing that was learned is lost."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN
from tests.exact import same as same_tensor
from tests.train.helpers import same_run
from thalweg import optim
from thalweg.errors import DivergedError, TaskError
from thalweg.meta import SAM, Accumulate, NonFinite
from thalweg.tasks import Data, Task
from thalweg.train import EarlyStopping, Run, fit

X = torch.linspace(-1, 1, 40).reshape(-1, 1)
LINE = Task(Data.arrays(X, 3 * X, validation=0.25), "mse", lambda: nn.Linear(1, 1))


def train(task: Task = LINE, optimizer: Any = torch.optim.SGD, **settings: Any) -> Run:
    defaults = {"lr": 0.1, "epochs": 6, "batch_size": 10, "progress": False}
    return fit(task, optimizer, **(defaults | settings))


class Ending(nn.Linear):
    """A model that goes wrong, in the way of `kind`, in the third epoch; it gets better until then."""

    def __init__(self, kind: str) -> None:
        super().__init__(1, 1)
        self.kind, self.steps = kind, 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        if self.training and self.steps > 7:
            if self.kind == "interrupted":
                raise KeyboardInterrupt
            if self.kind == "failed":
                raise IndexError("no such thing")
            return super().forward(x) * float("nan")
        if self.training and self.steps == 7:
            with torch.no_grad():
                self.weight.fill_(1e9)  # far from the best
        return super().forward(x)


@pytest.mark.parametrize("kind", ["interrupted", "failed", "diverged"])
@pytest.mark.parametrize("restore", [True, False])
def test_the_best_parameters_come_back(kind: str, restore: bool) -> None:
    task = LINE.replace(model=lambda: Ending(kind))
    stopping = EarlyStopping(patience=9, restore_best=restore)
    run = None
    try:
        run = train(task, early_stopping=stopping)
    except (TaskError, DivergedError) as error:
        run = error.run  # type: ignore[union-attr]
    assert isinstance(run, Run)
    assert run.stopped == kind
    assert run.epochs == 2
    assert run.best is run.history[1]
    if restore:
        assert run.evaluate("validation").loss == pytest.approx(run.best.validation.loss, rel=1e-6)  # type: ignore[union-attr]
    else:
        assert run.evaluate("validation").loss > 1e9


def test_a_policy_that_raises_carries_the_run_too() -> None:
    class Spoiling(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return y + (y - y).sqrt()  # whose gradient is not finite

    task = LINE.replace(model=lambda: Spoiling(1, 1))

    def guarded(parameters: Any, lr: float) -> NonFinite:
        return NonFinite(torch.optim.SGD(parameters, lr=lr), policy="raise")

    with pytest.raises(DivergedError, match="not finite in") as caught:
        train(task, guarded)
    assert caught.value.run.stopped == "diverged"  # type: ignore[attr-defined]
    with pytest.raises(TaskError, match="no such file") as failed:
        train(LINE.replace(model=lambda: Missing(1, 1)))
    assert failed.value.run.steps == 4  # type: ignore[attr-defined]


class Missing(nn.Linear):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        if self.calls > 4:
            raise FileNotFoundError("no such file")
        return super().forward(x)


# -- batches gathered for one update


def gathering(every: int, **more: Any) -> Any:
    return lambda parameters, lr: Accumulate(optim.SGD(parameters, lr=lr), every=every, **more)


def rows(count: int) -> Task:
    x = torch.linspace(-1, 1, 2 * count, dtype=torch.float64).reshape(-1, 2)
    model = functools.partial(nn.Linear, 2, 1, dtype=torch.float64)
    return Task((x, x.sum(1, keepdim=True)), "mse", model, batch_size=10)


def assert_close(run: Run, other: Run) -> None:
    """The same sums of the same gradients, added up in another order."""
    for mine, its in zip(run.model.parameters(), other.model.parameters(), strict=True):
        assert torch.allclose(mine, its, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("count", "every"), [(40, 2), (40, 3), (37, 2), (40, 8)])
def test_gathered_batches_give_the_steps_of_the_large_ones(count: int, every: int) -> None:
    small = train(rows(count), gathering(every), batch_size=10)
    large = train(rows(count), optim.SGD, batch_size=10 * every)
    assert_close(small, large)
    assert small.steps == large.steps == small.optimizer.steps  # type: ignore[attr-defined]
    assert small.history.column("step") == large.history.column("step")
    assert small.gradients == 6 * count / 10


@pytest.mark.parametrize(
    "nested",
    [
        lambda inner: NonFinite(Accumulate(inner, every=3)),
        lambda inner: Accumulate(NonFinite(inner), every=3),
        lambda inner: SAM(Accumulate(inner, every=3), rho=0.0),
        lambda inner: NonFinite(Accumulate(Accumulate(inner, every=1), every=3)),
    ],
)
def test_wrappers_around_wrappers(nested: Any) -> None:
    small = train(rows(37), lambda p, lr: nested(torch.optim.SGD(p, lr=lr)), batch_size=10)
    large = train(rows(37), torch.optim.SGD, batch_size=30)
    assert_close(small, large)
    assert small.steps == large.steps


def test_sums_are_gathered_without_weights() -> None:
    def total(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().sum()

    task = rows(37).replace(cost=total)
    small = train(task, gathering(2, reduction="sum"), batch_size=10, lr=0.01)
    assert_close(small, train(task, optim.SGD, batch_size=20, lr=0.01))


def test_schedulers_and_evaluations_count_updates() -> None:
    rates = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    x = torch.linspace(-1, 1, 40).reshape(-1, 1)
    task = Task(Data.arrays(x, x, validation=(x, x)), "mse", lambda: nn.Linear(1, 1))
    settings = {"scheduler": rates, "scheduler_step": "step", "epochs": 2, "evaluate_every": 1}
    run = train(task, gathering(2), **settings)
    assert run.steps == 4
    assert run.optimizer.param_groups[0]["lr"] == 0.1 / 2**4
    assert [each.step for each in run.evaluations] == [1, 2, 3, 4]


def test_steps_that_a_policy_leaves_out_are_not_counted() -> None:
    class Sometimes(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            self.calls += self.training
            return y + (y - y).sqrt() if self.calls == 2 and self.training else y

    task = rows(40).replace(model=lambda: Sometimes(2, 1).double())
    run = train(task, lambda p, lr: NonFinite(torch.optim.SGD(p, lr=lr)), epochs=2)
    assert (run.steps, run.optimizer.skipped, run.gradients) == (7, 1, 8)  # type: ignore[attr-defined]


def test_a_spent_budget_leaves_no_gradient_unused() -> None:
    run = train(rows(40), gathering(4), gradient_budget=6)
    assert (run.stopped, run.gradients, run.steps) == ("gradients", 6, 2)
    assert run.optimizer.pending == 0  # type: ignore[attr-defined]


def test_a_resumed_run_that_gathers_is_the_uninterrupted_one(tmp_path: Any) -> None:
    whole = train(rows(37), gathering(3))
    train(rows(37), gathering(3), epochs=2, checkpoint=tmp_path / "run")
    resumed = train(rows(37), gathering(3), checkpoint=tmp_path / "run", resume=True)
    same_run(resumed, whole, because=RERUN)
    same_tensor(
        torch.tensor(resumed.history.column("train_loss")),
        torch.tensor(whole.history.column("train_loss")),
        because="the same steps on the same batches",
    )
