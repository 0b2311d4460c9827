"""What is said of a task before the first step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from tests.exact import same
from thalweg.errors import TaskError
from thalweg.objective import Cost, Scores
from thalweg.tasks import Data, Target, Task, list_tasks, load_task
from thalweg.train.health.check import check_task, remarks
from thalweg.train.health.layers import refusing_layer, spoiling_layer

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = np.arange(40) % 3


def task(**parts: Any) -> Task:
    usual = {
        "data": Data.arrays(X, Y, validation=0.25),
        "cost": Cost("cross_entropy", metrics="accuracy"),
        "model": lambda: nn.Linear(3, 3),
    }
    return Task(**usual | parts)


class Module(nn.Module):
    """A linear layer, and what a function makes of its outputs."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, self.linear(x))


def fails_in_training(module: nn.Module, x: Tensor) -> Tensor:
    if module.training:
        raise RuntimeError("not so fast")
    return x


def loader(x: np.ndarray, y: np.ndarray = Y) -> DataLoader[Any]:
    class Rows(TensorDataset):
        """Not the plain class, which would be taken as two arrays."""

    return DataLoader(Rows(torch.from_numpy(x), torch.from_numpy(y)), batch_size=10)


def with_nan() -> np.ndarray:
    x = X.copy()
    x[15, 1] = np.nan
    return x


def linear_of_nan() -> nn.Module:
    net = nn.Linear(3, 3)
    nn.init.constant_(net.bias, math.nan)
    return net


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"model": lambda: nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(4, 3))},
            r"shape \(2, 3\), torch.float32 \(layer 2, Linear\(in_features=4, .*was given shape \(2, 5\)",
        ),
        (
            {"data": Data.arrays(X.astype("int64"), Y, validation=0.25)},
            r"torch.int64 .*Long and Float. Turn integers into real ones with x.astype",
        ),
        ({"model": nn.Identity}, "no trainable parameters"),
        ({"model": lambda: Module(lambda m, x: (x, x))}, "the model gives tuple"),
        ({"model": lambda: Module(lambda m, x: x.mean())}, "expects outputs of shape"),
        ({"model": lambda: Module(lambda m, x: {}["no"])}, r"line \d+: KeyError: 'no'"),
        (
            {"model": lambda: Module(fails_in_training)},
            r"The first training step fails. test_check.py, line \d+: RuntimeError: not so fast",
        ),
        (
            {"model": lambda: Module(lambda m, x: x * math.nan)},
            "nan on the validation set, before any update. The model: Module gives NaN for inputs",
        ),
        ({"model": linear_of_nan}, "The model: its initial parameters bias are not finite"),
        (
            {"data": Data(loader(X), loader(with_nan()))},  # type: ignore[arg-type]
            "nan on the validation set, .* The data: the inputs hold NaN or infinity, first in row 5 of",
        ),
        (
            {"data": Data(loader(with_nan()[10:], Y[10:]), loader(X))},  # type: ignore[arg-type]
            "nan at the first step, .* The data: the inputs hold NaN or infinity, first in row 5 of",
        ),
        (
            {"cost": Cost(lambda o, t: (o - o).log().mean())},
            r"-inf at the first step, .* The loss: <lambda> is not finite for outputs",
        ),
        ({"cost": Cost(lambda o, t: o.detach().mean())}, "no gradient with respect to the model's"),
        ({"cost": Cost("cross_entropy", metrics="mse")}, "The metric mse compares outputs"),
        (
            {"cost": Cost("cross_entropy", metrics=lambda o, t: o @ t)},
            r"The metric <lambda> fails on outputs of shape \(10, 3\)",
        ),
        (
            {"cost": Cost("cross_entropy", penalty=lambda m: m.gone)},
            "The penalty fails on .* 'gone'",
        ),
        (
            {"cost": Cost("cross_entropy", penalty=lambda m: m.weight)},
            r"penalty .* got shape \(3, 3\)",
        ),
        ({"cost": Cost("cross_entropy", penalty=lambda m: 0.1)}, "penalty .* got float"),
        (
            {"cost": Cost("cross_entropy", penalty=lambda m: m.weight.sum() * math.nan)},
            "The penalty is nan on the fresh model, whose parameters are finite",
        ),
        (
            {"data": Data.arrays(X, Y, validation=(X[:4], np.array([0, 1, 2, 3])))},
            r"found 3, but .* \(first in row 3 of the validation set\)",
        ),
        (
            {"data": Data.arrays(X, Y.astype("float32").reshape(-1, 1), validation=0.25)},
            r"expects class numbers .*Convert class numbers with y.reshape\(-1\).astype\('int64'\)",
        ),
    ],
)
def test_what_cannot_be_learned(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        check_task(task(**parts))


def test_a_task_that_can_be_learned_is_measured_untrained() -> None:
    before = torch.random.get_rng_state()
    scores = check_task(task())
    same(torch.random.get_rng_state(), before, because="no random number was drawn")
    assert isinstance(scores, Scores)
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    source = task().data.split("validation")
    ((x, y),) = source.batches(None)
    expected = nn.functional.cross_entropy(model(x), y).item()
    assert scores.loss == pytest.approx(expected, rel=1e-6)
    assert check_task(task(data=Data.arrays(X, Y))) is None


def test_a_metric_may_need_more_than_a_few_rows() -> None:
    def needs_rows(outputs: Tensor, targets: Tensor) -> float:
        if len(targets) < 5:
            raise ValueError("too few")
        return 0.5

    scores = check_task(task(cost=Cost("cross_entropy", metrics=needs_rows)))
    assert scores is not None
    assert scores["needs_rows"] == 0.5


def test_a_stream_is_left_alone() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            raise AssertionError("it was begun")

    assert check_task(task(data=Data(Stream(), Stream()))) is None  # type: ignore[arg-type]


def test_a_target_met_before_the_first_step_is_remarked() -> None:
    easy = task(target=Target("loss", 100))
    (remark,) = remarks(easy, check_task(easy))
    assert remark.startswith(
        "The target, validation loss 100, is met before the first step: the un"
    )
    hard = task(target=Target("accuracy", 0.99))
    assert remarks(hard, check_task(hard)) == []
    assert remarks(easy, None) == []
    assert remarks(task(), check_task(task())) == []


def test_data_that_are_not_those_of_the_target_are_remarked() -> None:
    usual = load_task("diabetes")
    assert remarks(usual, None) == []
    other = usual.replace(data_hash="0" * 64)
    (remark,) = remarks(other, None)
    assert "The data of diabetes are not those that its target was set for" in remark


@pytest.mark.parametrize("name", sorted({*list_tasks()} - {"mnist", "fashion_mnist"}))
def test_every_built_in_task_can_be_learned_and_nothing_is_strange(name: str) -> None:
    usual = load_task(name)
    assert remarks(usual, check_task(usual)) == []


def test_layers_are_told_by_their_names() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ModuleDict({"inner": nn.Linear(2, 2)})["inner"])
    assert refusing_layer(net, torch.zeros(1, 2)) == ""
    assert refusing_layer(net, torch.zeros(1, 3)).startswith("layer 0, Linear")
    assert spoiling_layer(net, torch.zeros(1, 2)) == ""

    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt()

    net = nn.Sequential(nn.Linear(2, 2), Root(), nn.ReLU())
    nn.init.constant_(net[0].bias, -9.0)  # type: ignore[arg-type]
    assert spoiling_layer(net, torch.zeros(1, 2)) == "layer 1, Root()"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
