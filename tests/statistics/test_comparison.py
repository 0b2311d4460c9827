"""Comparisons and groups: what they say, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.statistics.simulated import check_at_least, groups
from thalweg.errors import TaskError
from thalweg.statistics import Comparison, compare_all, groups_of

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


def test_the_other_way_round_gives_the_reciprocal_ratio() -> None:
    names = ["slow", "also fast"]
    (ahead,) = compare_all({n: TIMES[n] for n in names}, 60)
    (back,) = compare_all({n: TIMES[n] for n in names[::-1]}, 60)
    assert (ahead.outcome, back.outcome) == ("worse", "better")
    assert (ahead.p, ahead.corrected) == (back.p, back.corrected)
    assert ahead.ratio.low < ahead.ratio.estimate < ahead.ratio.high
    for end, other in (("estimate", "estimate"), ("low", "high"), ("high", "low")):
        assert 1 / getattr(ahead.ratio, end) == pytest.approx(getattr(back.ratio, other))
    assert ahead.ratio.attained == pytest.approx(back.ratio.attained)


def test_three_seeds_can_tell_nothing() -> None:
    (comparison,) = compare_all({"a": [1, 1, 1], "b": [50, 50, 50]}, 60)
    assert comparison.outcome == "not distinguishable"
    assert (comparison.ratio.low, comparison.ratio.high) == (0, INF)
    assert comparison.ratio.attained == 0
    six = compare_all({"a": [1] * 6, "b": [50] * 6}, 60)[0]
    assert six.outcome == "better"
    assert (six.ratio.estimate, six.ratio.attained) == pytest.approx((0.02, 0.96875))
    assert (six.ratio.low, six.ratio.high) == pytest.approx((0.02, 0.02))


def test_seven_seeds_tell_the_clearly_fastest_of_six() -> None:
    rng = np.random.default_rng(0)
    times = {str(i): 20 * np.exp(0.1 * rng.normal(size=7)) for i in range(6)}
    times["0"] = times["0"] / 3
    compared = compare_all(times, 60)
    assert {c.outcome for c in compared if c.first == "0"} == {"better"}
    assert {c.outcome for c in compared if c.first != "0"} == {"not distinguishable"}


def test_the_unit_of_time_changes_nothing() -> None:
    steps = compare_all(TIMES, 60)
    hours = compare_all({n: t / 3600 for n, t in TIMES.items()}, 60 / 3600)
    for a, b in zip(steps, hours, strict=True):
        assert (a.outcome, a.p) == (b.outcome, b.p)
        assert a.ratio.low == pytest.approx(b.ratio.low)


def test_every_option_changes_something() -> None:
    rng = np.random.default_rng(2)
    times = {n: rng.lognormal(2 + 0.4 * i, 0.4, 8) for i, n in enumerate("abc")}
    usual = compare_all(times, 15)
    assert compare_all(times, 15, tolerance=0.05)[0].p != usual[0].p
    widths = [c[1].ratio.high - c[1].ratio.low for c in (usual, compare_all(times, 15, alpha=0.5))]
    assert len(set(widths)) == 2
    outcomes = [[c.outcome for c in compare_all(times, 15, alpha=a)] for a in (0.001, 0.5)]
    assert outcomes[0] != outcomes[1]


def test_groups_hold_what_cannot_be_told_apart() -> None:
    ordered = ["also fast", "fast", "slow", "late"]
    assert list(groups(compare_all(TIMES, 60), ordered).values()) == [1, 1, 2, 3]


def test_an_uncertain_entrant_below_a_told_one_stays_with_the_best() -> None:
    """Its scatter places it last; its group is the first all the same."""
    apart = {"best", "steady"}  # nothing tells the wild one from either
    grouped = groups_of(["best", "steady", "wild"], lambda a, b: {a, b} != apart)
    assert grouped == {"best": 1, "steady": 2, "wild": 1}


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="same seeds"):
        compare_all({"a": [1, 2], "b": [1, 2, 3]}, 10)
    with pytest.raises(TaskError, match="two or more"):
        compare_all({"a": [1, 2]}, 10)


TURNED = {"better": "worse", "worse": "better", "not distinguishable": "not distinguishable"}


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
    (comparison,) = compare_all(times, 60, tolerance=0.05)
    assert comparison.outcome == outcome
    assert comparison.ratio.estimate == pytest.approx(factor)
    (turned,) = compare_all(dict(reversed(times.items())), 60, tolerance=0.05)
    assert (turned.outcome, turned.p) == (TURNED[outcome], comparison.p)
    assert comparison.p == (1 if outcome == "not distinguishable" else 2 / 2**10)


def test_a_ratio_at_the_edge_of_the_tolerance_is_claimed_no_more_often_than_alpha() -> None:
    rng = np.random.default_rng(7)
    claimed = 0
    for _ in range(600):
        noise = np.exp(0.05 * rng.normal(size=(2, 8)))
        times = {"a": 10.5 * noise[0], "b": 10 * noise[1]}
        (comparison,) = compare_all(times, 60, tolerance=0.05)
        claimed += comparison.outcome != "not distinguishable"
    assert claimed > 0
    check_at_least(0.95, 600 - claimed, 600)


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_a_tolerance_that_cannot_be_is_refused(wrong: float) -> None:
    with pytest.raises(TaskError, match="tolerance"):
        compare_all(TIMES, 60, tolerance=wrong)
