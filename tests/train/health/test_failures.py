"""What fails in the middle of training is told with its place, and what stands against it before."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from tests.exact import same
from thalweg.errors import DataError, TaskError
from thalweg.objective import Cost
from thalweg.tasks import Data, Task
from thalweg.train import fit
from thalweg.train.health.check import check_task
from thalweg.train.lr_finder.finder import find_lr

X, Y = torch.linspace(-1, 1, 26).reshape(13, 2), torch.ones(13, 1)


class Rows(TensorDataset):
    """Not the plain class, which would be taken as two arrays."""


def net(*layers: nn.Module) -> Any:
    return lambda: nn.Sequential(nn.Linear(2, 4), *layers, nn.Linear(4, 1))


def train(data: Any, model: Any = lambda: nn.Linear(2, 1), cost: Any = "mse", **more: Any) -> Any:
    defaults = {"lr": 0.01, "epochs": 3, "batch_size": 4, "progress": False}
    return fit(Task(data, cost, model), torch.optim.SGD, **(defaults | more))


ONE_LEFT = {
    "arrays": ((X, Y), {}),
    "a data set": (Rows(X, Y), {}),
    "a loader": (DataLoader(Rows(X, Y), 4, shuffle=True), {"batch_size": 128}),
    "rows one by one": ((X[:12], Y[:12]), {"batch_size": 1}),
}


@pytest.mark.parametrize("name", ONE_LEFT)
def test_one_row_that_batch_normalisation_cannot_take_is_found_before_training(name: str) -> None:
    data, settings = ONE_LEFT[name]
    before = torch.get_rng_state()
    with pytest.raises(
        TaskError, match=r"layer 1, BatchNorm1d.*shape \(1, 4\).*drop_last"
    ) as caught:
        train(data, net(nn.BatchNorm1d(4)), **settings)
    assert "run" not in vars(caught.value)
    assert ("13 rows in batches of 4 leave one" in str(caught.value)) == (name != "rows one by one")
    same(before, torch.get_rng_state(), because="no random number was drawn")
    task = Task(data, "mse", net(nn.BatchNorm1d(4)), batch_size=settings.get("batch_size", 4))
    with pytest.raises(TaskError, match="smallest batch"):
        check_task(task)
    with pytest.raises(TaskError, match="smallest batch"):
        find_lr(task, torch.optim.SGD, batch_size=task.batch_size)


@pytest.mark.parametrize(
    ("data", "model", "settings"),
    [
        ((X, Y), net(nn.BatchNorm1d(4)), {"batch_size": 5}),
        ((X, Y), net(nn.BatchNorm1d(4)), {"batch_size": None}),
        (DataLoader(Rows(X, Y), 4, drop_last=True), net(nn.BatchNorm1d(4)), {}),
        ((X, Y), net(nn.LayerNorm(4)), {}),
        ((X, Y), net(nn.Unflatten(1, (1, 4)), nn.BatchNorm1d(1), nn.Flatten()), {}),
    ],
)
def test_what_can_take_what_is_left_is_trained(data: Any, model: Any, settings: Any) -> None:
    assert train(data, model, **settings).stopped == "epochs"


def test_the_try_before_training_leaves_no_trace() -> None:
    run = train((X, Y), net(nn.Unflatten(1, (1, 4)), nn.BatchNorm1d(1), nn.Flatten()), epochs=1)
    assert run.model[2].num_batches_tracked == 4


class Late(nn.Linear):
    """Fails in a way of its own in the training of a later batch."""

    def __init__(self, kind: str) -> None:
        super().__init__(2, 1)
        self.kind, self.calls = kind, 0

    def forward(self, x: Tensor) -> Any:
        self.calls += self.training
        y = super().forward(x)
        if self.kind == "evaluation" and not self.training and self.calls > 4:
            raise KeyError("lost")
        if self.calls < 5 or not self.training:
            return y
        if self.kind == "model":
            raise KeyError("lost")
        if self.kind == "detached":
            return y.detach()
        if self.kind == "backward":
            y = y.exp()
            y.add_(1)
        return {"loss": (y, y), "shape": y.reshape(-1)}.get(self.kind, y)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "model",
            r"The model fails in training in epoch 2, batch 2 \(shape \(4, 2\).*KeyError: 'lost'",
        ),
        ("evaluation", r"The validation set cannot be measured in epoch 2. .*KeyError: 'lost'"),
        ("backward", "The backward pass fails in epoch 2, batch 2. .*inplace"),
        ("detached", "has no gradient with respect to the model's"),
        (
            "loss",
            "in epoch 2, batch 2: in training the model gives tuple of .*, in evaluation mode shape",
        ),
        ("shape", r"In epoch 2, batch 2: The loss mse_loss compares"),
    ],
)
def test_a_late_failure_says_where_and_carries_the_run(kind: str, message: str) -> None:
    data = Data.arrays(X[:12], Y[:12], validation=(X, Y))
    with pytest.raises(TaskError, match=message) as caught:
        train(data, lambda: Late(kind))
    run = caught.value.run  # type: ignore[attr-defined]
    steps = 6 if kind == "evaluation" else 4
    assert (run.stopped, run.epochs, run.steps) == ("failed", 1, steps)


class Pair(NamedTuple):
    logits: Tensor
    aux: Tensor


class TwoFaced(nn.Linear):
    """Gives more in training than in evaluation, as Inception does."""

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return Pair(y, y) if self.training else y


def test_a_model_that_gives_something_else_in_training() -> None:
    with pytest.raises(
        TaskError, match=r"in training the model gives Pair of .* evaluation mode shape"
    ):
        train((X, Y), lambda: TwoFaced(2, 1))
    with pytest.raises(TaskError, match="wants one tensor of outputs; the model gives Pair"):
        check_task(Task((X, Y), "mse", lambda: TwoFaced(2, 1)))

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        whole = outputs.logits if isinstance(outputs, Pair) else outputs
        return (whole - targets).square().mean()

    assert train((X, Y), lambda: TwoFaced(2, 1), Cost(loss)).stopped == "epochs"


class Ragged(IterableDataset[Any]):
    """Batches of which the third is of another kind."""

    def __init__(self, third: Any) -> None:
        self.batches = [(X[:4], Y[:4]), (X[4:8], Y[4:8]), third]

    def __iter__(self) -> Any:
        return iter(self.batches)


@pytest.mark.parametrize(
    ("third", "kind", "message"),
    [
        ((X[:4],), DataError, "batch 3 of this one is list of 1"),
        (
            (X[:4], Y[:4], Y[:4]),
            DataError,
            "The weights of a batch must be one number for each row",
        ),
        (
            (torch.ones(4, 3), Y[:4]),
            TaskError,
            r"epoch 1, batch 3 \(shape \(4, 3\), torch.float32; Linear",
        ),
        (
            (torch.ones(4, 2).long(), Y[:4]),
            TaskError,
            r"epoch 1, batch 3 \(shape \(4, 2\), torch.int64",
        ),
        ((X[:4], Y[:3]), TaskError, "In epoch 1, batch 3: The loss mse_loss compares"),
        (("text", "text"), DataError, "rows cannot be told"),
    ],
)
def test_batches_that_vary(third: Any, kind: type[Exception], message: str) -> None:
    loader: DataLoader[Any] = DataLoader(Ragged(third), batch_size=None)
    with pytest.raises(kind, match=message) as caught:
        train(Data(loader))  # type: ignore[arg-type]
    assert caught.value.run.steps == 2  # type: ignore[attr-defined]


def test_a_data_set_that_fails_late() -> None:
    class Failing(Dataset[Any]):
        reads = 0

        def __len__(self) -> int:
            return 12

        def __getitem__(self, k: int) -> Any:
            self.reads += 1
            if self.reads > 20:
                raise OSError("the disk is gone")
            return X[k], Y[k]

    with pytest.raises(
        DataError, match=r"In epoch 2, batch 1: .* fails at batch 2.*disk is gone"
    ) as caught:
        train(Failing())
    assert caught.value.run.epochs == 1  # type: ignore[attr-defined]


def test_memory_that_runs_out_is_said_as_it_is() -> None:
    class Large(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x)

    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        train((X, Y), lambda: Large(2, 1))
