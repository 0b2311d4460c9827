from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.exact import RERUN
from tests.train.helpers import blobs, other_run, same_run
from thalweg.errors import TaskError
from thalweg.objective import L2, Cost
from thalweg.tasks import Data
from thalweg.train import Recipe, fit

BASE = Recipe(blobs(), torch.optim.Adam, lr=0.05, epochs=2, batch_size=8)


def _other_data() -> Data:
    rng = np.random.default_rng(1)
    return Data.arrays(rng.normal(size=(30, 2)), np.arange(30) % 3, validation=0.2)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("data", _other_data()),
        ("cost", Cost("cross_entropy", metrics="accuracy", penalty=L2(0.1))),
        ("model", lambda: nn.Linear(2, 3).double()),
        ("optimizer", torch.optim.SGD),
    ],
)
def test_each_of_the_four_parts_can_be_exchanged_alone(part: str, value: Any) -> None:
    changed = BASE.replace(**{part: value})
    parts = {
        recipe: {
            "data": recipe.task.data,
            "cost": recipe.task.cost,
            "model": recipe.task.model,
            "optimizer": recipe.optimizer,
        }
        for recipe in (BASE, changed)
    }
    for name in ("data", "cost", "model", "optimizer"):
        same_part = parts[changed][name] is parts[BASE][name]
        assert same_part == (name != part)
    first, second = BASE.fit(progress=False), changed.fit(progress=False)
    other_run(first, second)
    same_run(first, BASE.fit(progress=False), because=RERUN)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lr", 0.1),
        ("epochs", 3),
        ("batch_size", 4),
        ("batch_size", None),
        ("seed", 1),
        ("shuffle", "never"),
        ("scheduler", lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1)),
    ],
)
def test_each_setting_matters(setting: str, value: Any) -> None:
    changed = BASE.replace(**{setting: value}).fit(progress=False)
    other_run(BASE.fit(progress=False), changed)


def test_scheduler_step_matters() -> None:
    recipe = BASE.replace(scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5))
    by_epoch, by_step = (
        recipe.fit(progress=False),
        recipe.replace(scheduler_step="step").fit(progress=False),
    )
    assert by_epoch.history.column("lr") == [0.05, 0.025]
    assert by_step.history.column("lr") == [0.05 / 2**5, 0.05 / 2**10]


def test_fit_declares_the_same_settings() -> None:
    ours = inspect.signature(fit).parameters
    recipe = dict(inspect.signature(Recipe).parameters)
    del recipe["hyperparameters"]  # in `fit` they are all that is given beside these
    run = {n: p for n, p in inspect.signature(Recipe.fit).parameters.items() if n != "self"}
    assert list(ours) == [*recipe, *run, "hyperparameters"]
    for name, parameter in {**recipe, **run}.items():
        assert ours[name].default == parameter.default


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer ≥ 1; got 0"),
        ({"epochs": 1.5}, "epochs must be an integer"),
        ({"batch_size": 0}, "batch_size must be an integer ≥ 1"),
        ({"evaluate_every": 0}, "evaluate_every must be an integer"),
        ({"seed": -1}, "seed must be an integer"),
        ({"lr": -1.0}, "lr must be a number ≥ 0"),
        ({"lr": float("nan")}, "lr must be a number ≥ 0"),
        ({"lr": "0.1"}, "lr must be a number ≥ 0, or a function of the step; got '0.1'"),
        ({"lr": True}, "lr must be a number ≥ 0, or a function of the step; got True"),
        ({"early_stopping": 3}, r"such as EarlyStopping\(patience=3\); got 3"),
        ({"scheduler": "cosine"}, "scheduler must be a function .* got 'cosine'"),
        ({"shuffle": "always"}, "shuffle must be"),
        ({"scheduler_step": "batch"}, "scheduler_step must be"),
        ({"task": 3}, "a recipe's task|A recipe's task"),
        ({"optimiser": 3}, "no part 'optimiser'. Did you mean 'optimizer'"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        BASE.replace(**settings)


def test_a_scheduler_that_is_none() -> None:
    with pytest.raises(TaskError, match="it returned int"):
        BASE.replace(scheduler=lambda optimizer: 3).fit(progress=False)
    with pytest.raises(TaskError, match="checkpoint_every"):
        BASE.fit(progress=False, checkpoint_every=0)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "got 'gpu'. Did you mean 'cuda'"),
        ("cpux", "name of a torch device"),
        ("cuda:99", "'cuda:99' cannot be used here"),
    ],
)
def test_a_device_that_is_not_there(device: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        BASE.replace(device=device).fit(progress=False)


def test_a_loss_without_a_gradient() -> None:
    def cut(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.detach().mean()

    def broken(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raise KeyError("rate")

    with pytest.raises(TaskError, match=r"The loss broken fails on the first rows .* 'rate'"):
        BASE.replace(cost=Cost(broken)).fit(progress=False)
    with pytest.raises(TaskError, match=r"The loss cut has no gradient .* \.detach\(\)"):
        BASE.replace(cost=Cost(cut)).fit(progress=False)


def test_texts_are_short() -> None:
    run = BASE.replace(epochs=1).fit(progress=False)
    assert len(repr(run)) < 250
    assert "epochs=1, steps=" in repr(run)
    assert len(repr(BASE)) < 500
    assert repr(BASE).count("tensor(") == repr(run).count("tensor(") == 0
