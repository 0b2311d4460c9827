"""Performance profiles, pairwise ratios, and the ranks that depend on who else runs."""

from __future__ import annotations

import numpy as np
import pytest

from thalweg.errors import TaskError
from thalweg.statistics import (
    pairwise_bounds,
    pairwise_ratios,
    pairwise_wins,
    performance_profiles,
    profile_scores,
    rank_reversals,
    scores_without_a_task,
)

INF = np.inf
NAMES = ["adam", "sgd", "lion"]
REVERSING = [[10, 30], [20, 10], [99, 2]]


def test_a_profile_counts_tasks_within_a_factor() -> None:
    rng = np.random.default_rng(0)
    costs = rng.lognormal(size=(4, 7))
    costs[rng.random((4, 7)) < 0.2] = INF
    costs[:, 0] = INF
    profiles = performance_profiles(costs)
    assert profiles.unsolved == 1
    for factor in (1, 1.1, 2, 4, 1e9):
        within = (costs <= factor * costs.min(axis=0)) & np.isfinite(costs)
        by_hand = [sum(row) / 7 for row in within.tolist()]
        assert profiles.at(factor) == pytest.approx(by_hand)
    assert profiles.at(1).sum() == pytest.approx(
        6 / 7
    )  # somebody is the best where anybody arrives


def test_the_score_is_the_mean_height_of_the_profile() -> None:
    rng = np.random.default_rng(1)
    costs = rng.lognormal(size=(4, 7))
    profiles = performance_profiles(costs)
    for largest in (4.0, 2.0):
        factors = np.linspace(1, largest, 20_001)
        heights = np.array([profiles.at(f) for f in (factors[1:] + factors[:-1]) / 2])
        assert profile_scores(costs, largest) == pytest.approx(heights.mean(axis=0), abs=1e-3)


def test_extremes_of_the_score() -> None:
    assert profile_scores([[1, 1], [9, 9], [INF, INF]]).tolist() == [1, 0, 0]
    assert profile_scores([[INF], [INF]]).tolist() == [0, 0]


def test_the_planted_reversal_is_found() -> None:
    found = rank_reversals(NAMES, REVERSING)
    assert [(r.first, r.second, r.without) for r in found] == [("adam", "sgd", ("lion",))]
    assert found[0].scores == pytest.approx((1 / 2, 1 / 3))
    assert found[0].scores_without == pytest.approx((2 / 3, 5 / 6))
    assert "lion" in str(found[0])


def test_pairwise_ratios_do_not_know_who_else_runs() -> None:
    everyone = pairwise_ratios(REVERSING, 1000)
    alone = pairwise_ratios(REVERSING[:2], 1000)
    assert everyone[:2, :2] == pytest.approx(alone)
    assert alone[0, 1] == pytest.approx(1.5**0.5)  # sgd is the faster one, whoever runs
    assert everyone[0, 1] * everyone[1, 2] == pytest.approx(everyone[0, 2])


def test_a_reversal_that_takes_two_to_leave_is_found() -> None:
    """Two copies of the third: without either of them nothing changes, without both the order does."""
    found = rank_reversals([*NAMES, "lion too"], [*REVERSING, REVERSING[2]])
    assert [r.without for r in found if (r.first, r.second) == ("adam", "sgd")] == [
        ("lion", "lion too")
    ]


def test_no_reversal_where_one_dominates_or_scores_tie() -> None:
    assert rank_reversals(NAMES, [[1, 1, 1], [2, 2, 2], [3, 3, 3]]) == ()
    assert rank_reversals(NAMES, [[1, 2], [2, 1], [9, 9]]) == ()


def test_reversals_found_are_real_and_none_is_overlooked() -> None:
    rng = np.random.default_rng(0)
    number = 0
    for _ in range(60):
        costs = rng.integers(1, 13, size=(3, 4)).astype(float)
        found = {(r.first, r.second) for r in rank_reversals(NAMES, costs)}
        for a, b, c in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
            with_all = profile_scores(costs)
            without = profile_scores(np.delete(costs, c, axis=0))
            place = {k: i for i, k in enumerate(k for k in range(3) if k != c)}
            before, after = with_all[a] - with_all[b], without[place[a]] - without[place[b]]
            flips = abs(before) > 1e-12 and abs(after) > 1e-12 and before * after < 0
            names = (NAMES[a], NAMES[b]) if before > 0 else (NAMES[b], NAMES[a])
            assert (names in found) == flips
            number += flips
    assert number > 0


def test_wins_count_ties_half_and_two_misses_tie() -> None:
    wins = pairwise_wins([[1, 5, INF, INF], [2, 5, 7, INF]])
    assert wins[0, 1] == (1 + 0.5 + 0 + 0.5) / 4
    assert wins + wins.T == pytest.approx(np.ones((2, 2)))


def test_a_miss_counts_with_its_budget_in_a_ratio() -> None:
    ratios = pairwise_ratios([[10, INF], [10, 5]], budget=[100, 20])
    assert ratios[0, 1] == pytest.approx(2)
    assert ratios[1, 0] == pytest.approx(0.5)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="table"):
        performance_profiles([1, 2, 3])
    with pytest.raises(TaskError, match="above 1"):
        profile_scores([[1], [2]], largest=1)
    with pytest.raises(TaskError, match="names"):
        rank_reversals(["a"], [[1], [2]])
    with pytest.raises(TaskError, match="factor 1"):
        performance_profiles([[1], [2]]).at(0.5)
    with pytest.raises(TaskError, match="give the budget"):
        pairwise_ratios([[1, INF], [2, 3]], np.inf)


def test_a_score_is_said_with_what_it_is_without_a_task() -> None:
    low, high = scores_without_a_task([[1, 1, np.inf], [2, 4, 1]])
    each = [profile_scores(np.delete([[1, 1, np.inf], [2, 4, 1]], k, axis=1)) for k in range(3)]
    assert low == pytest.approx(np.min(each, axis=0))
    assert high == pytest.approx(np.max(each, axis=0))
    with pytest.raises(TaskError, match="two or more"):
        scores_without_a_task([[1], [2]])


def test_ratios_with_misses_are_bounds() -> None:
    bounds = pairwise_bounds([[1, 2, INF], [INF, 2, INF], [1, INF, INF], [INF, INF, INF]])
    assert bounds[0] == ["exact", "at most", "at most", "at most"]
    assert [row[0] for row in bounds] == ["exact", "at least", "at least", "at least"]
    assert bounds[1][2] == bounds[2][1] == "unknown"
    assert bounds[3][1:3] == ["at least", "at least"]
    assert pairwise_bounds([[INF, 1], [INF, 2]]) == [["exact", "exact"], ["exact", "exact"]]
