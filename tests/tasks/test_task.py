from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.objective import Cost, Scores
from thalweg.tasks import Data, Target, Task, load_task, mlp
from thalweg.tasks.sources import ArraySource

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
    assert torch.equal(built.weight, module.weight)
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
    assert torch.equal(again.inputs, digits.data.validation.inputs)


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
    with pytest.raises(TaskError, match="at least two"):
        mlp([3])


def test_the_text_of_a_task_is_short() -> None:
    x = torch.zeros(1000, 3)
    task = Task((x, x[:, :1]), Cost("mse"), lambda: nn.Linear(3, 1), name="flat")
    assert repr(task).startswith(
        "Task('flat', Data(train=<1000 rows: float32 (3,) -> float32 (1,)>), Cost("
    )
    assert len(repr(task)) < 200
