"""What the choice of a point may have lost, and that claims allow for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from tests.race.recorded import GOAL, finals, record, trials
from thalweg.race.judging.judge import judge
from thalweg.race.judging.luck import slacks
from thalweg.race.judging.selection import close_points, select
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import TrialRecord

BEST, NEAR, FAR = Point(0.1), Point(0.3), Point(1.0)


def tuned(near: float = 1.02, entrant: str = "a") -> list[TrialRecord]:
    """Three points on three seeds: one as good as the best but for noise, one ten times as slow."""
    return [
        *trials(entrant, [100, 104, 98], lr=0.1),
        *trials(entrant, [103 * near, 99 * near, 102 * near], lr=0.3),
        *trials(entrant, [990, 995, 999], lr=1.0),
    ]


def slack_of(records: list[TrialRecord], chosen: Point = BEST) -> float:
    return slacks(records, {"a": chosen}, GOAL, "steps", "steps")["a"]


def test_close_points_are_those_within_the_noise() -> None:
    assert close_points(tuned(), GOAL) == (BEST, NEAR)
    assert close_points(tuned(near=1.5), GOAL) == ()
    assert close_points(trials("a", [100, 101], lr=0.1), GOAL) == ()
    lost = trials("a", [None] * 3, lr=0.3, status="diverged")
    assert close_points([*trials("a", [100, 104, 98], lr=0.1), *lost], GOAL) == ()
    assert close_points([], GOAL) == ()


def test_a_single_seed_leaves_all_close_and_says_nothing_of_luck() -> None:
    one = [record("a", 0, steps, lr=lr) for steps, lr in ((100, 0.1), (150, 0.3), (900, 1.0))]
    assert close_points(one, GOAL) == (BEST, NEAR, FAR)
    assert slack_of(one) == pytest.approx(0.0, abs=1e-12)


def test_the_point_that_tuning_would_choose_is_always_among_the_close() -> None:
    """Its median is the best, and one bad seed spoils its mean."""
    records = [
        *trials("a", [90, 90, 900], lr=0.1),
        *trials("a", [100, 101, 100], lr=0.3),
        *trials("a", [101, 102, 101], lr=0.5),
        *trials("a", [102, 103, 102], lr=0.7),
    ]
    assert select(records, GOAL) == BEST
    assert BEST in close_points(records, GOAL)


def test_the_runoff_decides_with_all_seeds() -> None:
    later = (50, 51, 52, 53)
    records = [
        *tuned(),
        *trials("a", [120, 118, 121, 122], later, lr=0.1, stage="runoff"),
        *trials("a", [95, 96, 94, 97], later, lr=0.3, stage="runoff"),
    ]
    assert select(tuned(), GOAL) == BEST
    assert select(records, GOAL) == NEAR
    # one that did not run again is not chosen, however good it looked
    assert select([*records, *trials("a", [10, 10, 10], lr=0.01)], GOAL) == NEAR


def test_the_slack_is_the_root_of_the_mean_square_of_the_loss() -> None:
    rows = np.log([[100, 104, 98], [103 * 1.02, 99 * 1.02, 102 * 1.02]])
    gap = rows[1] - rows[0]
    error = gap.std(ddof=1) / math.sqrt(3)
    expected, _ = integrate.quad(
        lambda z: max(error * z - gap.mean(), 0) ** 2 * stats.norm.pdf(z), -12, 12, points=[0.0]
    )
    # quadrature over a kink
    assert slack_of(tuned()) == pytest.approx(math.sqrt(expected), rel=1e-4)
    assert slack_of(tuned(near=1.5)) == pytest.approx(0.0, abs=1e-12)
    assert slack_of(tuned(), chosen=FAR) == pytest.approx(0.0, abs=1e-12)  # nothing is known of it


def test_claims_allow_for_it_on_the_side_of_the_unlucky() -> None:
    judging = [
        *finals("a", [100, 101, 99, 102, 98, 100, 101, 99]),
        *finals("b", [90, 91, 89, 90, 92, 91, 90, 89]),
    ]
    plain = judge([*judging, *tuned(1.5), *tuned(1.5, "b")], "ab", GOAL)
    a_open = judge([*judging, *tuned(), *tuned(1.5, "b")], "ab", GOAL)
    b_open = judge([*judging, *tuned(1.5), *tuned(entrant="b")], "ab", GOAL)
    (one,), (two,), (three,) = plain.claims, a_open.claims, b_open.claims
    slack = a_open.slack["a"]
    assert slack > 0
    # rounding
    assert math.log(one.effect.low / two.effect.low) == pytest.approx(slack, rel=1e-9)
    assert two.effect.high == pytest.approx(one.effect.high, rel=1e-12)
    assert math.log(three.effect.high / one.effect.high) == pytest.approx(slack, rel=1e-9)
    assert three.effect.low == pytest.approx(one.effect.low, rel=1e-12)
    assert plain.to_dict()["slack"] == {"a": 0.0, "b": 0.0}
