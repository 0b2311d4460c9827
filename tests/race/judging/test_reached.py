from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.race.recorded import BUDGET, GOAL, NO_GOAL, curved, record
from thalweg.race.judging.reached import (
    Goal,
    alone_step_seconds,
    common_budget,
    cost_to_target,
    first_reached,
    whole_cost,
)


def test_the_first_evaluation_that_meets_the_target_counts() -> None:
    trial = curved("adam", [0.5, 0.91, 0.85, 0.95])
    reached = first_reached(trial, GOAL)
    assert reached is not None
    assert (reached.steps, reached.seconds, reached.gradients) == (200, 2.0, 200)
    assert first_reached(trial, replace(GOAL, value=0.92)).steps == 400  # type: ignore[union-attr]
    assert first_reached(trial, replace(GOAL, value=0.96)) is None


def test_for_a_loss_smaller_is_better() -> None:
    trial = curved("adam", [0.9, 0.3, 0.2])
    assert cost_to_target(trial, Goal("loss", "min", 0.3), "steps") == 200
    assert cost_to_target(trial, Goal("loss", "min", 0.1), "steps") == math.inf


@pytest.mark.parametrize("direction", ["max", "min"])
@pytest.mark.parametrize("value", [0.3, -0.3, 1e-300, 3e8])
def test_a_figure_equal_within_rounding_meets_it(direction: str, value: float) -> None:
    goal = Goal("figure", direction, value)  # type: ignore[arg-type]
    worse = -1 if direction == "max" else 1
    assert goal.is_met(value)
    assert goal.is_met(value + worse * 1e-13 * abs(value))
    assert not goal.is_met(value + worse * 1e-9 * abs(value))


def test_a_figure_that_is_not_finite_is_no_hit() -> None:
    assert cost_to_target(curved("adam", [None, 0.95]), GOAL, "steps") == 200


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_what_was_lost_later_missed(status: str) -> None:
    trial = record("sgd", 0, 40, status=status)  # type: ignore[arg-type]
    assert first_reached(trial, GOAL) is None


def test_without_a_target_nobody_reaches_it() -> None:
    assert first_reached(record("sgd", 0, 40), NO_GOAL) is None


def test_the_evaluation_before_the_first_step_does_not_count() -> None:
    trial = record("sgd", 0, 0)
    assert cost_to_target(trial, replace(GOAL, value=0.85), "steps") == BUDGET


def test_seconds_are_steps_times_those_of_a_step_where_they_were_measured() -> None:
    trial = record("adam", 0, 40, step_seconds=0.01, gradients_a_step=2)
    assert cost_to_target(trial, GOAL, "seconds") == pytest.approx(0.4)
    assert cost_to_target(trial, GOAL, "gradients") == 80
    measured = {"adam": 0.5}
    assert cost_to_target(trial, GOAL, "seconds", measured) == 20
    assert cost_to_target(trial, GOAL, "gradients", measured) == 80
    assert whole_cost(trial, "seconds", measured) == BUDGET / 2
    assert cost_to_target(trial, GOAL, "seconds", {"sgd": 0.5}) == pytest.approx(0.4)


def test_the_budget_is_what_the_longest_trial_took() -> None:
    pair = [record("adam", 0, 40), record("sgd", 0, None, step_seconds=0.05)]
    assert common_budget(pair, "seconds") == BUDGET * 0.05
    assert common_budget(pair, "seconds", {"adam": 1.0}) == BUDGET
    assert common_budget([], "steps") > 0


def test_seconds_of_a_step_come_from_trials_that_ran_alone() -> None:
    alone = [record("adam", seed, 40, step_seconds=s) for seed, s in enumerate((0.1, 0.2, 0.9))]
    stacked = [replace(r, stacked=4, seconds=1e6) for r in alone]
    lost = record("sgd", 0, None, status="diverged")
    assert alone_step_seconds([*alone, *stacked, lost]) == {"adam": pytest.approx(0.2)}
