"""Comparisons and places: what they say, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.statistics.simulated import check_at_least
from thalweg.errors import TaskError
from thalweg.statistics import Comparison, compare_all, difference_interval, places

INF = np.inf
FAST = np.array([10.0, 11, 12, 13, 14, 15, 16, 11, 12, 13])
TIMES = {"slow": 3 * FAST, "fast": FAST, "also fast": FAST[::-1], "late": np.full(10, INF)}


def pair(comparisons: tuple[Comparison, ...], first: str, second: str) -> Comparison:
    return next(c for c in comparisons if (c.first, c.second) == (first, second))


def test_each_pair_is_compared_once_and_says_who_is_better() -> None:
    comparisons = compare_all(TIMES, 60)
    assert len(comparisons) == 6
    slow = pair(comparisons, "slow", "fast")
    assert slow.outcome == "worse"
    assert slow.ratio.estimate == pytest.approx(3)
    assert slow.bound == "exact"
    assert pair(comparisons, "fast", "also fast").outcome == "not distinguishable"
    late = pair(comparisons, "fast", "late")
    assert (late.outcome, late.bound, late.misses) == ("better", "at most", (0, 10))
    assert late.ratio.estimate == pytest.approx(np.exp(np.log(FAST / 60).mean()))


def test_turned_is_what_comparing_the_other_way_round_gives() -> None:
    names = ["slow", "also fast"]
    (ahead,) = compare_all({n: TIMES[n] for n in names}, 60, correction="joint", test="sign-flip")
    (back,) = compare_all(
        {n: TIMES[n] for n in names[::-1]}, 60, correction="joint", test="sign-flip"
    )
    turned = ahead.turned()
    assert (turned.outcome, turned.p, turned.corrected) == (back.outcome, back.p, back.corrected)
    assert turned.ratio.low < turned.ratio.estimate < turned.ratio.high
    for end in ("estimate", "low", "high", "attained"):
        assert getattr(turned.ratio, end) == pytest.approx(getattr(back.ratio, end))
    assert turned.turned().ratio.low == pytest.approx(ahead.ratio.low)


def test_three_seeds_can_tell_nothing_and_say_so() -> None:
    (comparison,) = compare_all({"a": [1, 1, 1], "b": [50, 50, 50]}, 60)
    assert comparison.outcome == "not distinguishable"
    assert comparison.too_few
    assert comparison.seeds_needed == 6
    assert comparison.ratio.attained == 0.75
    assert "3 seeds cannot tell" in str(comparison)
    assert "not distinguishable" in str(comparison)
    six = compare_all({"a": [1] * 6, "b": [50] * 6}, 60)[0]
    assert str(six).startswith("a is better than b: time ratio 0.02, 96.9 % interval [0.02, 0.02]")


def test_joint_tells_with_fewer_seeds_than_holm() -> None:
    rng = np.random.default_rng(0)
    times = {str(i): 20 * np.exp(0.1 * rng.normal(size=7)) for i in range(6)}
    times["0"] = times["0"] / 3
    jointly = compare_all(times, 60, test="sign-flip", correction="joint")
    by_holm = compare_all(times, 60)
    assert {c.outcome for c in jointly if c.first == "0"} == {"better"}
    assert {c.outcome for c in jointly if c.first != "0"} == {"not distinguishable"}
    assert {c.outcome for c in by_holm} == {"not distinguishable"}
    assert all(c.too_few and c.seeds_needed == 10 for c in by_holm)
    assert not any(c.too_few for c in jointly)


def test_the_unit_of_time_changes_nothing() -> None:
    for test in ("wilcoxon", "sign-flip"):
        steps = compare_all(TIMES, 60, test=test)  # type: ignore[arg-type]
        hours = compare_all({n: t / 3600 for n, t in TIMES.items()}, 60 / 3600, test=test)  # type: ignore[arg-type]
        for a, b in zip(steps, hours, strict=True):
            assert (a.outcome, a.p) == (b.outcome, b.p)
            assert a.ratio.low == pytest.approx(b.ratio.low)


def test_every_option_changes_something() -> None:
    rng = np.random.default_rng(2)
    times = {n: rng.lognormal(2 + 0.4 * i, 0.4, 8) for i, n in enumerate("abc")}
    usual = compare_all(times, 15)
    assert compare_all(times, 15, test="sign-flip")[0].p != usual[0].p
    assert compare_all(times, 15, correction="joint")[1].corrected != usual[1].corrected
    widths = [
        c[1].ratio.high - c[1].ratio.low
        for c in (
            usual,
            compare_all(times, 15, interval="bca"),
            compare_all(times, 15, interval="percentile"),
            compare_all(times, 15, level=0.5),
        )
    ]
    assert len(set(widths)) == 4
    outcomes = [[c.outcome for c in compare_all(times, 15, alpha=a)] for a in (0.001, 0.5)]
    assert outcomes[0] != outcomes[1]


def test_metrics_are_compared_by_difference() -> None:
    a, b = [0.91, 0.92, 0.95, 0.9], [0.90, 0.90, 0.90, 0.9]
    assert difference_interval(a, b).estimate == pytest.approx(0.02)
    assert difference_interval(a, b, interval="bca").estimate == pytest.approx(0.02)


def test_places_group_what_cannot_be_told_apart() -> None:
    ranked = places(TIMES, 60)
    assert [p.name for p in ranked] == ["also fast", "fast", "slow", "late"]
    assert [p.position for p in ranked] == [1, 2, 3, 4]
    assert [p.group for p in ranked] == [1, 1, 2, 3]
    assert [p.reached for p in ranked] == [10, 10, 10, 0]
    assert ranked[0].against_best is None
    assert ranked[3].median.estimate == INF
    assert ranked[3].mean == pytest.approx(60)
    against = ranked[2].against_best
    assert against is not None
    assert (against.first, against.second, against.outcome) == ("slow", "also fast", "worse")


def test_an_uncertain_entrant_below_a_told_one_stays_with_the_best() -> None:
    """Its scatter places it last; its group is the first all the same."""
    best = 10 + np.arange(10) / 10
    times = {"best": best, "steady": 1.5 * best, "wild": best * np.tile([0.5, 4], 5)}
    ranked = places(times, 100)
    assert [(p.name, p.group) for p in ranked] == [("best", 1), ("steady", 2), ("wild", 1)]


def test_with_the_same_median_more_reached_is_better() -> None:
    times = {"a": [1, 2, 7, INF, INF], "b": [5, 6, 7, 9.9, INF]}
    ranked = places(times, 10)
    assert [p.name for p in ranked] == ["b", "a"]
    assert ranked[0].mean > ranked[1].mean


def test_a_miss_just_after_the_last_hit_is_still_worse_than_any_hit() -> None:
    """At its budget a miss would be a hair slower; its rank says more than that."""
    times = {"a": [9.0, 9, 9, 9, 9, 59], "b": [10.0, 11, 12, 13, 14, INF]}
    a, b = (np.array(times[name]) for name in "ab")
    ranked = compare_all({"a": [*a[:-1], INF], "b": [*b[:-1], 59]}, 60)[0]
    restricted = compare_all({"a": [*a[:-1], 60], "b": [*b[:-1], 59]}, 60)[0]
    assert restricted.p == 4 / 64  # the smallest rank is against the others
    assert ranked.p == 14 * 2 / 64  # the greatest is


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="same seeds"):
        compare_all({"a": [1, 2], "b": [1, 2, 3]}, 10)
    with pytest.raises(TaskError, match="two or more"):
        compare_all({"a": [1, 2]}, 10)
    with pytest.raises(TaskError, match="'holm'"):
        compare_all({"a": [1, 2], "b": [2, 3]}, 10, correction="hulm")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="'bca'"):
        compare_all({"a": [1, 2], "b": [2, 3]}, 10, interval="bc")  # type: ignore[arg-type]


WITH_TOLERANCE = {"test": "sign-flip", "correction": "joint", "tolerance": 0.05}


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [
        (1.0, "not distinguishable"),
        (1.04, "not distinguishable"),
        (1.06, "worse"),
        (0.94, "better"),
    ],
)
def test_ratios_within_the_tolerance_count_as_equal(factor: float, outcome: str) -> None:
    """All seeds have the very same ratio, as entrants with the same steps at other speeds have."""
    times = {"a": factor * FAST, "b": FAST}
    (comparison,) = compare_all(times, 60, **WITH_TOLERANCE)  # type: ignore[arg-type]
    assert comparison.outcome == outcome
    assert comparison.ratio.estimate == pytest.approx(factor)
    (turned,) = compare_all(dict(reversed(times.items())), 60, **WITH_TOLERANCE)  # type: ignore[arg-type]
    assert (turned.outcome, turned.p) == (comparison.turned().outcome, comparison.p)
    assert comparison.p == (1 if outcome == "not distinguishable" else 2 / 2**10)


def test_a_ratio_at_the_edge_of_the_tolerance_is_claimed_no_more_often_than_alpha() -> None:
    rng = np.random.default_rng(7)
    claimed = 0
    for _ in range(600):
        noise = np.exp(0.05 * rng.normal(size=(2, 8)))
        times = {"a": 10.5 * noise[0], "b": 10 * noise[1]}
        (comparison,) = compare_all(times, 60, **WITH_TOLERANCE)  # type: ignore[arg-type]
        claimed += comparison.outcome != "not distinguishable"
    assert claimed > 0
    check_at_least(0.95, 600 - claimed, 600)


@pytest.mark.parametrize(
    "wrong", [{"tolerance": -0.1}, {"tolerance": np.nan}, {"tolerance": 0.1, "test": "wilcoxon"}]
)
def test_a_tolerance_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TaskError, match="tolerance"):
        compare_all(TIMES, 60, **{"test": "sign-flip", **wrong})  # type: ignore[arg-type]
