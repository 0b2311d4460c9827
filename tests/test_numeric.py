from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from thalweg import optim
from thalweg.errors import TaskError
from thalweg.meta import Accumulate, NonFinite
from thalweg.numeric import as_whole, is_real, share
from thalweg.objective import L2
from thalweg.race.entrants.space import integers
from thalweg.race.executors.local import find_executor
from thalweg.race.trials.plan import gather_seeds
from thalweg.report import plot_schedules
from thalweg.tasks import Data, Target, Task
from thalweg.train import EarlyStopping, Recipe, find_lr, fit

THREE = [3, np.int64(3), np.uint8(3), torch.tensor(3), np.array(3)]
NOT_WHOLE = [True, np.True_, torch.tensor(True), 3.0, np.float64(3), "3", None, [3], np.array([3])]


@pytest.mark.parametrize("value", THREE, ids=lambda v: type(v).__name__)
def test_whole_numbers_of_any_kind(value: Any) -> None:
    whole = as_whole(value)
    assert (whole, type(whole)) == (3, int)


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_what_is_no_whole_number(value: Any) -> None:
    assert as_whole(value) is None


def test_real_numbers() -> None:
    assert all(is_real(v) for v in (1, 1.5, np.float32(1), np.int8(1), Fraction(1, 3), math.inf))
    assert not any(is_real(v) for v in (True, "1", None, 1j))


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [
        (90, 0.3, 27),
        (50, 0.34, 17),
        (10, 0.9, 9),
        (100, 0.29, 29),
        (90, np.float32(0.3), 27),
        (1000, np.float16(0.1), 100),
        (90, 1 / 3, 30),
        (90, np.float32(1 / 3), 30),
        (7, 5 / 7, 5),
        (10, Decimal("0.7"), 7),
        (9, Fraction(1, 3), 3),
        (10, 0.25, Fraction(5, 2)),
        (10**9, 1e-9, 1),
    ],
)
def test_shares_as_a_person_computes_them(count: int, fraction: Any, expected: Any) -> None:
    assert share(count, fraction) == expected


def line(**changes: Any) -> Task:
    x = torch.linspace(-1, 1, 12).reshape(-1, 1)
    return Task(Data.arrays(x, x), "mse", lambda: torch.nn.Linear(1, 1), **changes)


def test_whole_numbers_of_numpy_wherever_whole_numbers_are_taken() -> None:
    three = np.int64(3)
    task = line(epochs=three, batch_size=three)
    counts: dict[str, Any] = {"epochs": three, "batch_size": three, "seed": three}
    recipe = Recipe(task, optim.SGD, evaluate_every=three, **counts)
    numbers = (recipe.epochs, recipe.batch_size, recipe.seed, recipe.evaluate_every, task.epochs)
    assert [type(number) for number in numbers] == [int] * 5
    run = fit(task, optim.SGD, lr=np.float32(0.1), checkpoint_every=three, progress=False, **counts)
    assert run.steps == 12
    assert find_lr(task, torch.optim.SGD, seeds=np.int64(1), seed=three, steps=np.int64(10)).sweeps
    assert EarlyStopping(patience=three, min_delta=np.float32(0)).patience == 3
    assert (
        gather_seeds(three)
        == gather_seeds(np.arange(3))
        == gather_seeds(torch.arange(3))
        == (0, 1, 2)
    )
    assert integers(np.int64(1), three) == integers(1, 3)
    parameter = torch.nn.Parameter(torch.ones(1))
    Accumulate(torch.optim.SGD([parameter]), every=three)
    NonFinite(torch.optim.SGD([parameter]), policy="skip", limit=three)
    find_executor("local", np.int64(1))  # type: ignore[arg-type]
    plot_schedules({"a": lambda step: 0.1}, np.int64(4))
    L2(np.float32(0.1))
    assert Target("loss", np.float32(0.1)).value == pytest.approx(0.1, rel=1e-15)


def test_truth_values_are_refused_as_numbers() -> None:
    for name in ("epochs", "batch_size", "seed", "evaluate_every"):
        with pytest.raises(TaskError, match=name):
            Recipe(line(), optim.SGD, **{name: np.True_})
    with pytest.raises(TaskError, match="seeds must be a number of them"):
        gather_seeds(True)
    with pytest.raises(TaskError, match="patience must be an integer"):
        EarlyStopping(patience=2.5)  # type: ignore[arg-type]
