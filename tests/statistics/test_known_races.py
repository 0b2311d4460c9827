"""Simulated races with known answers: planted speeds, misses, identical entrants."""

from __future__ import annotations

import numpy as np
import pytest

from tests.statistics.simulated import BUDGET, check_at_least, check_rate, count, groups, race
from thalweg.statistics import compare_all, median_interval


@pytest.mark.parametrize("centre", [20.0, 110.0], ids=["hits", "half missed"])
def test_identical_entrants_are_not_distinguishable(centre: float) -> None:
    """Family-wise: in at least 95 % of races nothing is claimed about any of the ten pairs."""
    rng = np.random.default_rng(0)

    def nothing_claimed() -> bool:
        comparisons = compare_all(race(rng, [centre] * 5, seeds=10), BUDGET)
        return all(c.outcome == "not distinguishable" for c in comparisons)

    check_at_least(0.95, count(400, nothing_claimed), 400)


def test_a_single_pair_is_told_apart_as_seldom_as_alpha_allows() -> None:
    """Seven seeds attain 2 · 3 / 128; a test that never claimed anything would fail here."""
    rng = np.random.default_rng(1)

    def claimed() -> bool:
        (c,) = compare_all(race(rng, [20, 20], seeds=7), BUDGET)
        return c.outcome != "not distinguishable"

    check_rate(6 / 128, count(1500, claimed), 1500)


def test_identical_entrants_stay_so_beside_one_that_differs() -> None:
    rng = np.random.default_rng(2)

    def only_true_claims() -> bool:
        comparisons = compare_all(race(rng, [8, 20, 20, 20, 60], seeds=10), BUDGET)
        between = [
            c for c in comparisons if {c.first, c.second} <= {f"entrant {i}" for i in (1, 2, 3)}
        ]
        assert len(between) == 3
        return all(c.outcome == "not distinguishable" for c in between)

    check_at_least(0.95, count(300, only_true_claims), 300)


@pytest.mark.parametrize("skew", [1, -1])
def test_the_joint_correction_holds_for_skewed_times(skew: int) -> None:
    """Its assumption is broken here: logarithms of times that are exponential on one side."""
    rng = np.random.default_rng(3)

    def nothing_claimed() -> bool:
        times = {str(i): np.exp(skew * rng.exponential(size=8)) for i in range(5)}
        comparisons = compare_all(times, 1e9)
        return all(c.outcome == "not distinguishable" for c in comparisons)

    check_at_least(0.95, count(400, nothing_claimed), 400)


def test_planted_speeds_are_found() -> None:
    """Twice as slow each, the last with many misses, the middle two the same."""
    rng = np.random.default_rng(4)
    right = 0
    for _ in range(40):
        times = race(rng, [20, 80, 40, 40, 10], seeds=12, spread=0.2)
        ordered = [
            name for _, name in sorted((np.median(row), name) for name, row in times.items())
        ]
        order = [int(name[-1]) for name in ordered]
        grouped = groups(compare_all(times, BUDGET), ordered)
        right += order in ([4, 0, 2, 3, 1], [4, 0, 3, 2, 1]) and {
            int(name[-1]): group for name, group in grouped.items()
        } == {
            4: 1,
            0: 2,
            2: 3,
            3: 3,
            1: 4,
        }
    assert right >= 34  # the identical pair alone may be told apart in one race of twenty


def test_the_interval_of_a_ratio_covers_at_its_level() -> None:
    rng = np.random.default_rng(5)

    def covers() -> bool:
        times = race(rng, [10, 15], seeds=10)
        (pair,) = compare_all(times, BUDGET)
        return 10 / 15 in pair.ratio

    check_rate(1 - 2 * 25 / 1024, count(1000, covers), 1000)


def test_the_interval_of_a_median_covers_at_its_level_though_many_miss() -> None:
    rng = np.random.default_rng(6)
    attained = median_interval(np.ones(9)).attained
    hits = count(1000, lambda: 90 in median_interval(race(rng, [90], seeds=9)["entrant 0"]))
    check_rate(attained, hits, 1000)
