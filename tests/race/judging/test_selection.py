from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from tests.race.recorded import GOAL, NO_GOAL, record, trials
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.selection import candidates, edge_of_grid, score, select
from thalweg.race.judging.summary import point_of, summarize, summarize_all
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import TrialRecord

inf = math.inf
LOSS = Goal("loss", "min", 0.1)


@pytest.mark.parametrize(
    ("reached", "median", "missed"),
    [
        ([30, 10, 20], 20, 0),
        ([30, None, 20], 30, 1 / 3),
        ([None, None, 20], inf, 2 / 3),
        ([40, 20], 30, 0),
        ([20, None], inf, 1 / 2),
        ([7], 7, 0),
    ],
)
def test_the_score_of_censored_costs(
    reached: list[float | None], median: float, missed: float
) -> None:
    for order in itertools.permutations(reached):
        found = score(trials("sgd", order), GOAL)
        assert (found.steps, found.missed, found.badness) == (median, missed, -0.95)


def test_the_score_counts_gradients_where_these_decide() -> None:
    assert score(trials("sam", [30, 10, 20], gradients_a_step=2), GOAL, "gradients").steps == 40


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_lost_trial_is_a_miss_and_the_worst_final_figure(status: str) -> None:
    # It met the target before it was lost: nobody would choose a rate that explodes afterwards.
    lost = [record("sgd", seed, 10, lr=1.0, status=status) for seed in (0, 1)]  # type: ignore[arg-type]
    both = [*lost, record("sgd", 2, 30, lr=1.0, final=0.9)]
    summary = summarize(both, GOAL)
    assert (summary.reached, summary.steps, summary.final) == (1, inf, None)
    assert (summary.final_low, summary.final_high) == (0.9, 0.9)
    assert getattr(summary, status) == 2
    assert score(both, GOAL).badness == inf

    one = [lost[0], record("sgd", 1, 20, lr=1.0, final=0.8), both[2]]
    assert (summarize(one, GOAL).steps, summarize(one, GOAL).final) == (30, 0.8)
    assert summarize(one, LOSS).final == 0.9


def test_a_summary_counts_misses_and_keeps_the_spread() -> None:
    summary = summarize(
        [
            record("adam", 0, 40, final=0.9, gradients_a_step=3),
            record("adam", 1, None, final=0.7),
            record("adam", 2, 60, final=0.8),
        ],
        GOAL,
        {"adam": 0.5},
    )
    assert (summary.trials, summary.reached) == (3, 2)
    assert (summary.steps, summary.seconds, summary.gradients) == (60, 30, 120)
    assert (summary.final, summary.final_low, summary.final_high) == (0.8, 0.7, 0.9)


def test_a_summary_refuses_a_mixture() -> None:
    one = record("a", 0, 1)
    others = [
        record("b", 0, 1),
        record("a", 0, 1, lr=0.2),
        record("a", 0, 1, epochs=5),
        record("a", 0, 1, hyperparameters={"beta": 0.9}),
    ]
    for other in others:
        with pytest.raises(ValueError, match="exactly one"):
            summarize([one, other], GOAL)
    with pytest.raises(ValueError, match="exactly one"):
        summarize([], GOAL)


def test_summaries_come_by_entrant_rate_and_length() -> None:
    records = [
        record("z", 0, 9, lr=1.0),
        record("a", 0, 9, lr=0.1),
        record("z", 0, 9, lr=0.01, epochs=10),
        record("z", 0, 9, lr=0.01, epochs=5),
    ]
    rows = [(s.entrant, s.lr, s.epochs) for s in summarize_all(records, GOAL)]
    assert rows == [("z", 0.01, 5), ("z", 0.01, 10), ("z", 1.0, 10), ("a", 0.1, 10)]


def test_a_point_is_the_same_after_it_was_on_the_disk() -> None:
    tried = record("adam", 0, 9, hyperparameters={"betas": (0.9, 0.99), "amsgrad": True})
    assert point_of(TrialRecord.from_dict(tried.to_dict())) == point_of(tried)
    summarize([tried, replace(TrialRecord.from_dict(tried.to_dict()), seed=1)], GOAL)


def test_selection_is_by_the_median_and_not_by_the_luckiest_seed() -> None:
    lucky = trials("sgd", [5, None, None], lr=1.0)
    steady = trials("sgd", [50, 60, 70], lr=0.1)
    assert select([*lucky, *steady], GOAL) == Point(0.1)


def test_selection_among_misses_goes_by_reached_then_final_then_smaller_rate() -> None:
    never = trials("sgd", [None] * 3, lr=0.01, final=0.9)
    once = trials("sgd", [None, None, 30], lr=0.1, final=0.4)
    worse = trials("sgd", [None] * 3, lr=0.001, final=0.8)
    same = trials("sgd", [None] * 3, lr=0.5, final=0.9)
    assert select([*never, *once], GOAL) == Point(0.1)
    assert select([*never, *worse], GOAL) == Point(0.01)
    assert select([*never, *worse], LOSS) == Point(0.001)
    assert select([*same, *never], GOAL) == Point(0.01)


def test_without_a_target_the_final_figure_selects() -> None:
    fast = trials("sgd", [5, 5, 5], lr=0.1, final=0.8)
    good = trials("sgd", [90, 90, 90], lr=1.0, final=0.9)
    assert select([*fast, *good], GOAL) == Point(0.1)
    assert select([*fast, *good], NO_GOAL) == Point(1.0)
    assert select([*fast, *good], Goal("loss", "min")) == Point(0.1)


def test_only_points_at_full_length_with_all_seeds_are_selected() -> None:
    short = trials("sgd", [1, 1, 1], lr=0.001, epochs=3)
    hasty = trials("sgd", [2], lr=0.01)
    full = trials("sgd", [80, 90, 99], lr=0.1)
    final = trials("sgd", [1, 1, 1, 1], lr=1.0, stage="final")
    assert select([*short, *hasty, *full, *final], GOAL) == Point(0.1)
    assert list(candidates([*short, *hasty, *full, *final])) == [Point(0.1)]
    assert select(final, GOAL) is None


def test_other_hyperparameters_tell_points_apart() -> None:
    slow = trials("adam", [50, 60, 70], hyperparameters={"beta": 0.9})
    fast = trials("adam", [5, 6, 7], hyperparameters={"beta": 0.5})
    assert select([*slow, *fast], GOAL) == Point(0.1, (("beta", 0.5),))


def test_an_entrant_all_of_whose_trials_are_lost_has_a_point_all_the_same() -> None:
    lost = [record("sgd", seed, None, lr=lr, status="failed") for seed in (0, 1) for lr in (1, 2)]
    assert select(lost, GOAL) == Point(1)


@pytest.mark.parametrize(("lr", "edge"), [(0.01, "lower"), (0.1, None), (1.0, "upper")])
def test_edge_of_grid(lr: float, edge: str | None) -> None:
    assert edge_of_grid(lr, (0.01, 0.1, 1.0)) == edge
    assert edge_of_grid(lr, (lr, lr)) == "single"
