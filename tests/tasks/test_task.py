from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.exact import same
from thalweg.errors import TaskError
from thalweg.objective import Cost, Scores
from thalweg.tasks import Data, Target, Task, Unpacked, load_task, mlp
from thalweg.tasks.sources.source import ArraySource

X = np.zeros((4, 2), "float32")


def test_parts_are_taken_in_short_forms() -> None:
    task = Task(data=(X, X), cost="mse", model=nn.Identity)  # type: ignore[arg-type]
    assert isinstance(task.data, Data)
    assert isinstance(task.cost, Cost)
    assert isinstance(task.build(), nn.Identity)


def test_a_module_is_copied_for_each_run() -> None:
    module = nn.Linear(2, 2)
    task = Task(data=Data.arrays(X), cost=Cost("mse"), model=module)
    built = task.build()
    assert built is not module
    assert isinstance(built, nn.Linear)
    same(built.weight, module.weight, because="a copy")
    assert built.weight is not module.weight


def test_bad_parts() -> None:
    with pytest.raises(TaskError, match="builds an nn"):
        Task(data=Data.arrays(X), cost=Cost("mse"), model=3)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="returned int"):
        Task(data=Data.arrays(X), cost=Cost("mse"), model=lambda: 3).build()  # type: ignore[arg-type,return-value]
    with pytest.raises(TaskError, match="no metric 'accuracy'"):
        Task(Data.arrays(X), Cost("mse"), nn.Identity, target=Target("accuracy", 0.9))


@pytest.mark.parametrize("name", ["accuracy", "validation accuracy", "validation_accuracy"])
def test_targets(name: str) -> None:
    cost = Cost("cross_entropy", metrics="accuracy")
    target = Target(name, 0.9)
    assert target.is_reached(Scores(1, 0, {"accuracy": 0.9}), cost)
    assert not target.is_reached(Scores(1, 0, {"accuracy": 0.899}), cost)
    assert not target.is_reached(Scores(1, 0, {"accuracy": float("nan")}), cost)
    assert Target("loss", 0.5).is_reached(Scores(0.4), cost)
    assert not Target("loss", 0.5).is_reached(Scores(0.6), cost)
    with pytest.raises(TaskError, match="finite"):
        Target("loss", float("nan"))


def test_built_in_tasks() -> None:
    digits = load_task("digits")
    assert [digits.data.split(n).rows for n in ("train", "validation", "test")] == [1248, 364, 185]
    assert sum(p.numel() for p in digits.build().parameters()) == 64 * 32 + 32 + 32 * 10 + 10
    diabetes = load_task("diabetes")
    assert sum(diabetes.data.split(n).rows or 0 for n in ("train", "validation", "test")) == 442
    again = load_task("digits").data.validation
    assert isinstance(again, ArraySource)
    assert isinstance(digits.data.validation, ArraySource)
    same(
        again.inputs,
        digits.data.validation.inputs,
        because="read from the same file by the same instructions",
    )


def test_mlp() -> None:
    net = mlp([4, 3, 2], nn.Tanh, dropout=0.5, flatten=True)
    assert [type(layer) for layer in net] == [
        nn.Flatten,
        nn.Linear,
        nn.Tanh,
        nn.Dropout,
        nn.Linear,
    ]
    assert net(torch.zeros(5, 2, 2)).shape == (5, 2)
    assert [p.shape for p in mlp(np.array([4, 2])).parameters()] == [(2, 4), (2,)]


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((4, 32, 2), {}, r"one list, .* write mlp\(\[4, 32, 2\]\), not mlp\(4, 32, 2\)"),
        ((4, 32), {}, r"write mlp\(\[4, 32\]\)"),
        ((4, nn.Tanh), {}, r"write mlp\(\[4, 32, 1\]\), not mlp\(4\)"),
        (([3],), {}, r"at least two integers ≥ 1.*got \[3\]"),
        (([4, 0],), {}, r"≥ 1.*got \[4, 0\]"),
        (([4.0, 2],), {}, r"integers.*got \[4\.0, 2\]"),
        (([4, "2"],), {}, r"integers.*got \[4, '2'\]"),
        (("42",), {}, r"a list of .*got '42'"),
        ((None,), {}, r"a list of .*got None"),
        (([4, 3, 2], nn.ReLU()), {}, r"a class of layers such as torch.nn.ReLU.*got ReLU\(\)"),
        (([4, 3, 2], "relu"), {}, r"a class of layers .*got 'relu'"),
        (([4, 3, 2], torch.relu), {}, r"without arguments .*TypeError"),
        (([4, 3, 2], dict), {}, r"makes dict"),
        (([4, 3, 2],), {"dropout": 2}, "from 0 to 1; got 2"),
        (([4, 3, 2],), {"dropout": "0.1"}, "from 0 to 1; got '0.1'"),
    ],
)
def test_what_makes_no_network(
    arguments: tuple[Any, ...], keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        mlp(*arguments, **keywords)


@pytest.mark.parametrize("model", [nn.Linear, None, lambda a, b: a])
def test_unpacked_takes_a_module(model: Any) -> None:
    with pytest.raises(TaskError, match=r"an nn\.Module, such as"):
        Unpacked(model)


def test_mlp_with_an_initialization() -> None:
    torch.manual_seed(0)
    net = mlp([6, 6, 6], init="orthogonal")
    for layer, square in ((net[0], 2.0), (net[2], 1.0)):  # the gain before a ReLU is √2
        assert isinstance(layer, nn.Linear)
        torch.testing.assert_close(layer.weight @ layer.weight.T, square * torch.eye(6))
        assert layer.bias.abs().sum() > 0  # PyTorch's own

    def ones(model: nn.Module) -> None:
        for p in model.parameters():
            nn.init.ones_(p)

    assert all(bool((p == 1).all()) for p in mlp([2, 2, 1], initialization=ones).parameters())
    with pytest.raises(TaskError, match="Did you mean 'orthogonal'"):
        mlp([2, 1], init="ortogonal")
    with pytest.raises(TaskError, match=r"init='he' and initialization='ones'.*give one of them"):
        mlp([2, 1], init="he", initialization="ones")


def test_the_text_of_a_task_is_short() -> None:
    x = torch.zeros(1000, 3)
    task = Task((x, x[:, :1]), Cost("mse"), lambda: nn.Linear(3, 1), name="flat")
    assert repr(task).startswith(
        "Task('flat', Data(train=<1000 rows: float32 (3,) -> float32 (1,)>), Cost("
    )
    assert len(repr(task)) < 200


def task(**parts: Any) -> Task:
    data = Data.arrays(X, validation=0.25)
    return Task(**{"data": data, "cost": "mse", "model": lambda: nn.Linear(2, 2)} | parts)


def test_the_usual_budget() -> None:
    usual = task()
    assert (usual.epochs, usual.batch_size) == (30, 128)
    assert (usual.seconds, usual.data_hash) == (None, None)
    assert task(batch_size=None).batch_size is None
    for parts, message in (
        ({"epochs": 0}, "epochs must be a number of epochs, at least 1; got 0"),
        ({"epochs": None}, "epochs must be a number of epochs, at least 1; got None"),
        ({"batch_size": 0}, "number of rows, or None for all rows, at least 1; got 0"),
        ({"batch_size": 2.0}, "got 2.0"),
    ):
        with pytest.raises(TaskError, match=message):
            task(**parts)


@pytest.mark.parametrize(
    ("cost", "target", "message"),
    [
        (
            "cross_entropy",
            Target("accuracy", 95),
            r"cannot exceed 1; .* accuracy 95. For 95 % write 0.95",
        ),
        ("cross_entropy", Target("accuracy", 1.01), "Accuracy cannot exceed 1"),
        ("cross_entropy", Target("loss", -0.1), "The loss cross_entropy cannot fall below 0"),
        ("bce", Target("accuracy", 2), "Accuracy cannot exceed 1"),
        (
            nn.MSELoss(reduction="sum"),
            Target("validation loss", -1),
            "mse_loss cannot fall below 0",
        ),
        ("mse", Target("error_rate", -1), "Error_rate cannot fall below 0"),
        (
            "mse",
            Target("r2", 1.5),
            "R2 cannot exceed 1; the target is r2 1.5. For 1.5 % write 0.015",
        ),
        ("mse", Target("f1", 0.5), "no metric 'f1'"),
        ("mse", 0.95, r"must be a Target, .* such as Target\('accuracy', 0.95\); got 0.95"),
    ],
)
def test_targets_that_cannot_be_reached(cost: Any, target: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        task(cost=Cost(cost, metrics=["accuracy", "error_rate", "r2"]), target=target)


@pytest.mark.parametrize(
    ("cost", "target"),
    [
        (Cost("mse"), Target("loss", 0.0)),
        (Cost("mse", metrics="accuracy"), Target("accuracy", 1.0)),
        (Cost("mse", metrics="accuracy"), Target("accuracy", 0.0)),
        (Cost("nll"), Target("loss", -3.0)),
        (Cost(lambda outputs, targets: outputs.sum()), Target("loss", -3.0)),
        (Cost("mse", metrics=lambda o, t: 7.0), Target("<lambda>", 95)),
    ],
)
def test_targets_that_may_be_reached(cost: Cost, target: Target) -> None:
    assert task(cost=cost, target=target).target == target


def test_a_target_without_a_validation_set() -> None:
    with pytest.raises(TaskError, match=r"is a figure of the validation set, .* validation=0.2"):
        Task(Data.arrays(X), Cost("mse"), nn.Identity, target=Target("loss", 1))


def test_the_figure_of_a_target_comes_first() -> None:
    with pytest.raises(TaskError, match=r"names its figure first, as in Target\('accuracy', 0.95"):
        Target(0.95, "accuracy")  # type: ignore[arg-type]


def test_a_model_that_cannot_be_built() -> None:
    def net() -> nn.Module:
        raise ValueError("no weights")

    with pytest.raises(
        TaskError, match=r"task 'task' cannot be built. test_task.py, line \d+: Val"
    ):
        task(model=net).build()
    with pytest.raises(TaskError, match=r"without arguments that returns an nn\.Module"):
        task(model=nn.Linear).build()


def test_running_out_of_memory_is_no_fault_of_the_task() -> None:
    def net() -> nn.Module:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        task(model=net).build()
