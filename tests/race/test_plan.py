from __future__ import annotations

from collections import Counter

import pytest

from thalweg.errors import TaskError
from thalweg.race.entrants import gather_entrants
from thalweg.race.plan import Plan, gather_seeds

PLAN = Plan(gather_entrants(["sgd", "adam", "adagrad"], [0.01, 0.1]), (0, 1), 5, 32)


def test_every_combination_is_run_once() -> None:
    counts = Counter((trial.entrant.name, trial.lr, trial.seed) for trial in PLAN.trials())
    assert len(counts) == 3 * 2 * 2
    assert set(counts.values()) == {1}


def test_entrants_take_turns_and_take_turns_at_going_first() -> None:
    trials = PLAN.trials()
    rounds = [trials[i : i + 3] for i in range(0, len(trials), 3)]
    for one in rounds:
        assert {trial.entrant.name for trial in one} == {"sgd", "adam", "adagrad"}
        assert len({(trial.lr, trial.seed) for trial in one}) == 1
    assert [one[0].entrant.name for one in rounds[:2]] == ["sgd", "adam"]


def test_one_seed_is_complete_before_the_next_begins() -> None:
    assert [trial.seed for trial in PLAN.trials()] == [0] * 6 + [1] * 6


def test_grids_of_unequal_length() -> None:
    short, long = gather_entrants(["sgd", "adam"])
    plan = Plan((type(short)("sgd", short.factory, {}, (0.1,)), long), (0,), 1, None)
    names = Counter(trial.entrant.name for trial in plan.trials())
    assert names == {"sgd": 1, "adam": len(long.lrs)}


def test_seeds() -> None:
    assert gather_seeds(2) == (0, 1)
    assert gather_seeds([5, 3]) == (5, 3)
    for nothing in (0, -1, []):
        with pytest.raises(TaskError, match="at least one seed"):
            gather_seeds(nothing)
    with pytest.raises(TaskError, match="twice"):
        gather_seeds([1, 1])


@pytest.mark.parametrize(
    ("epochs", "batch_size", "message"), [(0, 1, "epochs=0"), (1, 0, "batch_size=0")]
)
def test_an_empty_budget_is_refused(epochs: int, batch_size: int, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Plan(PLAN.entrants, (0,), epochs, batch_size)
