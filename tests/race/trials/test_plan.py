"""The budget of a race: equal for all, spent in a fair order, on seeds that tune or judge."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset

from tests.race.tasks import line
from thalweg.errors import TaskError
from thalweg.race.entrants.known import gather_entrants
from thalweg.race.trials.plan import RacePlan, Setting, fair_order, gather_seeds
from thalweg.race.trials.point import Point

ENTRANTS = gather_entrants(["sgd", "adam", "adagrad"], [0.01, 0.1])


def plan(**changes: Any) -> RacePlan:
    parts: dict[str, Any] = {
        "entrants": ENTRANTS,
        "trials": 2,
        "tuning_seeds": (0, 1),
        "final_seeds": (2, 3, 4, 5),
        "epochs": 5,
        "batch_size": 32,
    }
    return RacePlan(**(parts | changes))


def test_the_budget_counts_every_entrant_alike() -> None:
    assert (plan().tuning_trials, plan().final_trials) == (3 * 2 * 2, 3 * 4)
    assert (plan(trials=9).tuning_trials, plan(final_seeds=(9,)).final_trials) == (54, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"trials": 0}, "trials=0"),
        ({"final_seeds": (7, 1)}, "The seed 1 is among the tuning seeds and the final seeds"),
        ({"tuning_seeds": (5, 3)}, "The seed 3 is among"),
    ],
)
def test_a_budget_that_trains_nothing_or_judges_by_what_tuned_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        plan(**changes)


def test_seeds() -> None:
    assert gather_seeds(2) == (0, 1)
    assert gather_seeds(2, first=7) == (7, 8)
    assert gather_seeds([5, 3], first=7) == (5, 3)
    for nothing in (0, -1, []):
        with pytest.raises(TaskError, match="at least one seed"):
            gather_seeds(nothing)
    with pytest.raises(TaskError, match="twice"):
        gather_seeds([1, 1])


POINTS = tuple(Point(lr) for lr in (0.01, 0.1, 1.0))


def test_entrants_take_turns_and_take_turns_at_going_first() -> None:
    order = list(fair_order([(entrant, POINTS) for entrant in ENTRANTS]))
    turns = [order[i : i + 3] for i in range(0, len(order), 3)]
    for point, turn in zip(POINTS, turns, strict=True):
        assert {entrant.name for entrant, _ in turn} == {"sgd", "adam", "adagrad"}
        assert {one for _, one in turn} == {point}
    assert [turn[0][0].name for turn in turns] == ["sgd", "adam", "adagrad"]


def test_entrants_that_want_less_drop_out_and_the_others_go_on() -> None:
    wanted = [(ENTRANTS[0], POINTS[:1]), (ENTRANTS[1], ()), (ENTRANTS[2], POINTS)]
    order = list(fair_order(wanted))
    assert Counter(entrant.name for entrant, _ in order) == {"sgd": 1, "adagrad": 3}
    assert [point for entrant, point in order if entrant is ENTRANTS[2]] == list(POINTS)
    assert list(fair_order([])) == []


def test_a_point_is_a_value() -> None:
    point = Point(0.1, (("beta1", 0.9), ("nesterov", True)))
    assert point.values == {"lr": 0.1, "beta1": 0.9, "nesterov": True}
    assert str(point) == "learning rate 0.1, beta1 0.9, nesterov True"
    assert {point: 1}[Point(0.1, (("beta1", 0.9), ("nesterov", True)))] == 1


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        while True:
            yield torch.zeros(1), torch.zeros(1)


@pytest.mark.parametrize("batch_size", [None, 1, 7, 16, 47, 48, 100])
def test_the_steps_of_a_trial_are_those_that_training_takes(batch_size: int | None) -> None:
    setting = Setting(batch_size, "mse", "min")
    batches = len(list(line().data.train.batches(batch_size)))
    assert setting.steps(line(), 6) == 6 * batches


def test_a_trial_is_evaluated_about_a_hundred_times_or_once_an_epoch() -> None:
    for batch_size, epochs in [(1, 1), (1, 10), (7, 3), (None, 40), (16, 1000)]:
        setting = Setting(batch_size, "mse", "min")
        steps, every = setting.steps(line(), epochs), setting.evaluate_every(line(), epochs)
        assert steps is not None
        if every is None:
            assert steps // 100 >= steps // epochs or steps == epochs
        else:
            assert 1 <= every < steps / epochs
            assert math.ceil(steps / every) <= 200


def test_a_stream_has_no_known_number_of_steps() -> None:
    task = line(data=Endless(), target=None)
    setting = Setting(8, "mse", "min")
    assert (setting.steps(task, 3), setting.evaluate_every(task, 3)) == (None, None)
