"""Inputs and targets of every kind train, and nothing that works in place reaches the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import DataLoader

from tests.exact import RERUN
from tests.exact import same as same_tensor
from tests.train.helpers import same_run
from thalweg.errors import TaskError
from thalweg.objective import Cost
from thalweg.tasks import Data, Task
from thalweg.train import fit
from thalweg.train.health.check import check_task


class Pair(NamedTuple):
    a: Tensor
    b: Tensor


ROWS = [(torch.tensor([k / 8, 1.0]), torch.tensor([k / 4])) for k in range(8)]


class OfPairs(nn.Linear):
    def forward(self, pair: Pair) -> Tensor:  # type: ignore[override]
        return super().forward(torch.stack([pair.a, pair.b], 1))


class OfSequences(nn.RNN):
    def forward(self, packed: PackedSequence) -> Tensor:  # type: ignore[override]
        assert isinstance(packed, PackedSequence)
        last: Tensor = super().forward(packed)[1][0]
        return last


def sequences(rows: list[Any]) -> tuple[PackedSequence, Tensor]:
    parts = [x.reshape(-1, 1)[: 1 + k % 2] for k, (x, _) in enumerate(rows)]
    return pack_sequence(parts, enforce_sorted=False), torch.stack([y for _, y in rows])


def quiet(data: Any, model: Any, optimizer: Any = torch.optim.SGD, **settings: Any) -> Any:
    task = Task(data, settings.pop("cost", "mse"), model)
    defaults = {"lr": 0.1, "epochs": 2, "batch_size": 3, "progress": False}
    return fit(task, optimizer, **(defaults | settings))


def test_named_tuples_train_as_tensors_do() -> None:
    pairs = [(Pair(x[0], x[1]), y) for x, y in ROWS]
    plain = quiet(DataLoader(ROWS, 3), lambda: nn.Linear(2, 1))  # type: ignore[arg-type]
    same_run(quiet(DataLoader(pairs, 3), lambda: OfPairs(2, 1)), plain, because=RERUN)  # type: ignore[arg-type]


def test_packed_sequences_and_validation_sets_of_them() -> None:
    loader = DataLoader(ROWS, 3, collate_fn=sequences)  # type: ignore[arg-type]
    task = Task(Data(loader, loader), Cost("mse", metrics="mae"), lambda: OfSequences(1, 1))  # type: ignore[arg-type]
    check_task(task)
    run = fit(task, torch.optim.SGD, lr=0.1, epochs=2, progress=False)
    assert run.history[-1].validation is not None


class Untracked(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        x.data.mul_(0.5)
        return super().forward(x)


class AddsInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Any:
        x.mul_(0.5)
        return self.linear(x)


def spoils_targets(outputs: Tensor, targets: Tensor) -> Tensor:
    targets.mul_(0.5)
    return (outputs - targets).square().mean()


IN_PLACE: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "dropout": (lambda: nn.Sequential(nn.Dropout(0.5, inplace=True), nn.Linear(4, 1)), "mse"),
    "relu": (lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 1)), "mse"),
    "forward": (AddsInPlace, "mse"),
    "around the count": (lambda: Untracked(4, 1), "mse"),
    "loss": (lambda: nn.Linear(4, 1), Cost(spoils_targets)),
}


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("batch_size", [None, 5])
def test_what_works_in_place_does_not_reach_the_data(name: str, batch_size: int | None) -> None:
    model, cost = IN_PLACE[name]
    x = np.linspace(-1, 1, 80, dtype="float32").reshape(20, 4)
    y, tests = torch.ones(20, 1), torch.full((3, 4), -1.0)
    kept = x.copy()
    data = Data.arrays(x, y, validation=(x[:7], y[:7]))
    task = Task(data, cost, model)
    check_task(task)
    settings = {"epochs": 3, "batch_size": batch_size, "shuffle": "never", "evaluate_every": 1}
    run = quiet(data, model, cost=cost, **settings)
    run.evaluate("train")
    run.predict(tests)
    unchanged = "nothing may have written to it"
    same_tensor(x, kept, because=unchanged)
    same_tensor(data.train.inputs, torch.from_numpy(kept), because=unchanged)  # type: ignore[attr-defined]
    same_tensor(data.validation.inputs, torch.from_numpy(kept[:7]), because=unchanged)  # type: ignore[union-attr]
    same_tensor(data.train.targets, torch.ones(20, 1), because=unchanged)  # type: ignore[attr-defined]
    same_tensor(tests, torch.full((3, 4), -1.0), because=unchanged)


def test_each_evaluation_of_a_closure_has_the_batch_as_it_was() -> None:
    x = torch.ones(6, 4)
    seen: list[float] = []

    class Halving(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                seen.append(float(x.mean()))
            return super().forward(x.mul_(0.5))

    quiet((x, torch.ones(6, 1)), lambda: Halving(4, 1), torch.optim.LBFGS, batch_size=None)
    assert len(seen) > 4
    assert set(seen) == {1.0}


def test_inputs_that_are_their_own_targets_are_not_one_tensor() -> None:
    x = torch.linspace(-1, 1, 10).reshape(5, 2)
    net = lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(2, 2))  # noqa: E731
    plain = lambda: nn.Sequential(nn.ReLU(), nn.Linear(2, 2))  # noqa: E731
    for size in (None, 2):
        same_run(quiet(x, net, batch_size=size), quiet(x, plain, batch_size=size), because=RERUN)


def test_a_complex_loss_is_refused_before_training() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs * 1j).mean()

    with pytest.raises(TaskError, match="complex"):
        quiet((torch.ones(6, 2), torch.ones(6, 1)), lambda: nn.Linear(2, 1), cost=Cost(loss))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_gradients_that_the_caller_has_switched_off(mode: Any) -> None:
    usual = quiet((torch.ones(6, 2), torch.ones(6, 1)), lambda: nn.Linear(2, 1), batch_size=None)
    with mode():
        data = torch.ones(6, 2), torch.ones(6, 1)
        given = nn.Linear(2, 1)
        same_run(quiet(data, given), quiet(data, given), because=RERUN)
        off = quiet(data, lambda: nn.Linear(2, 1), batch_size=None)
    same_run(off, usual, because=RERUN)
