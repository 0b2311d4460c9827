from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.race.recorded import BUDGET, FINAL, GOAL, NO_GOAL, finals, record, trials
from thalweg.race.judging.judge import Judgement, judge
from thalweg.race.judging.reached import Goal
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import TrialRecord
from thalweg.statistics import SharedError, compare_all, paired_differences

EIGHT = np.arange(8)
LOSS = Goal("loss", "min", 0.1)


def order(judgement: Judgement) -> list[str]:
    return [standing.entrant for standing in judgement.standings]


def groups(judgement: Judgement) -> list[int]:
    return [standing.group for standing in judgement.standings]


def with_tuning(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Tuning trials that choose the points of the given final ones."""
    chosen = {(r.entrant, r.lr) for r in records}
    return [*records, *(t for name, lr in chosen for t in trials(name, [9, 9, 9], lr=lr))]


def three() -> list[TrialRecord]:
    """Ten times as slow each, with the tuning the other way round."""
    planted = {"slow": 800, "fast": 8, "middling": 80}
    tuned = {"slow": 8, "fast": 800, "middling": 80}
    return [
        r
        for name, steps in planted.items()
        for r in (
            *finals(name, steps + EIGHT),
            *trials(name, [tuned[name]] * 3),
            *trials(name, [tuned[name] + 1] * 3, lr=1.0),
        )
    ]


def test_the_final_ranks_and_tuning_does_not() -> None:
    judgement = judge(three(), ["slow", "fast", "middling"], GOAL)
    assert order(judgement) == ["fast", "middling", "slow"]
    assert groups(judgement) == [1, 2, 3]
    assert [s.rank for s in judgement.standings] == [1, 2, 3]
    assert [s.steps.estimate for s in judgement.standings] == [11.5, 83.5, 803.5]
    assert (judgement.judged_on, judgement.compared_by) == ("final", "steps")
    assert (judgement.seeds, judgement.notes) == (FINAL, ())


def test_claims_are_those_of_the_sign_flip_test_with_the_joint_correction() -> None:
    names = ["slow", "fast", "middling"]
    times = {"slow": 800 + EIGHT, "fast": 8 + EIGHT, "middling": 80 + EIGHT}
    expected = compare_all(times, BUDGET)
    claims = judge(three(), names, GOAL).claims
    assert len(claims) == len(expected) == 3
    for claim, right in zip(claims, expected, strict=True):
        assert (claim.first, claim.second) == (right.first, right.second)
        assert (claim.outcome, claim.p, claim.corrected) == (
            right.outcome,
            right.p,
            right.corrected,
        )
        assert (claim.effect, claim.bound, claim.seeds) == (right.ratio, "exact", 8)
        assert claim.corrected == 2 / 2**8


def test_the_order_of_records_does_not_matter() -> None:
    records = three()
    expected = judge(records, ["a", "slow", "fast", "middling"], GOAL).to_dict()
    for seed in range(3):
        shuffled = random.Random(seed).sample(records, len(records))
        assert judge(shuffled, ["a", "slow", "fast", "middling"], GOAL).to_dict() == expected


def test_the_order_is_that_of_what_is_compared() -> None:
    """The geometric mean puts first who the median, of the same seeds, would put second."""
    records = with_tuning(
        [*finals("median", [90] * 5 + [400] * 3), *finals("mean", [100] * 5 + [110] * 3)]
    )
    judgement = judge(records, ["median", "mean"], GOAL)
    assert order(judgement) == ["mean", "median"]
    assert judgement.standings[0].steps.estimate > judgement.standings[1].steps.estimate
    assert judgement.claims[0].effect.estimate > 1


def test_who_may_be_the_best_is_said_in_the_order_of_the_standings() -> None:
    records = with_tuning(
        [
            *finals("slow", 800 + EIGHT),
            *finals("b", 80 + 5 * EIGHT[::-1]),
            *finals("a", 79 + 5 * EIGHT),
        ]
    )
    assert judge(records, ["slow", "b", "a"], GOAL).may_be_best == ("a", "b")
    assert judge(three(), ["slow", "fast", "middling"], GOAL).may_be_best == ("fast",)
    assert judge(records, ["a"], GOAL).may_be_best == ()
    few = with_tuning([*finals("a", [10, 11, 12]), *finals("b", [90, 91, 92])])
    assert judge(few, "ab", GOAL).may_be_best == ("a", "b")


def test_a_single_entrant_has_a_place_and_no_claims() -> None:
    judgement = judge(with_tuning(finals("adam", 20 + EIGHT)), ["adam"], GOAL)
    assert (order(judgement), groups(judgement), judgement.claims) == (["adam"], [1], ())


def test_one_seed_gives_an_order_and_no_claim() -> None:
    records = with_tuning([*finals("a", [10]), *finals("b", [900])])
    judgement = judge(records, ["b", "a"], GOAL)
    (claim,) = judgement.claims
    assert order(judgement) == ["a", "b"]
    assert groups(judgement) == [1, 1]
    assert (claim.outcome, claim.p, claim.too_few) == ("not distinguishable", 1, True)
    assert "1 seed cannot tell, whatever they give: at least 6 can" in str(claim)
    assert "interval" not in str(claim)


def test_nothing_at_all() -> None:
    judgement = judge([], ["a", "b"], GOAL)
    values = judgement.to_dict()
    assert (values["standings"], values["comparisons"], values["notes"]) == ([], [], [])
    assert [row["entrant"] for row in values["cost"]] == ["a", "b"]


def test_misses_are_censored_and_bound_the_ratio() -> None:
    often = finals("often", [None, None, None, None, None, 40, 50, 60], final=0.8)
    judgement = judge(with_tuning([*finals("never", [None] * 8), *often]), ["never", "often"], GOAL)
    assert order(judgement) == ["often", "never"]
    first, last = judgement.standings
    assert (first.best.reached, first.steps.estimate) == (3, np.inf)
    assert 40 < first.steps.low < 50
    assert (last.best.reached, last.steps.low) == (0, np.inf)
    values = judgement.to_dict()["standings"][0]
    ends = (values["steps"], values["steps_low"], values["steps_high"])
    assert ends == (None, first.steps.low, None)
    (claim,) = judgement.claims
    assert (claim.misses, claim.bound) == ((8, 5), "unknown")
    (claim,) = judge(
        with_tuning([*finals("a", [None] * 8), *finals("b", 40 + EIGHT)]), "ab", GOAL
    ).claims
    assert (claim.outcome, claim.bound) == ("worse", "at least")


def test_a_miss_in_less_time_than_a_hit_bounds_nothing() -> None:
    """Of seconds everyone has another budget; the miss is worse all the same."""
    hasty = finals("hasty", [None] * 8, step_seconds=0.001)
    steady = finals("steady", 700 + EIGHT, step_seconds=0.1)
    judgement = judge(with_tuning([*hasty, *steady]), ["hasty", "steady"], GOAL, "seconds")
    (claim,) = judgement.claims
    assert order(judgement) == ["steady", "hasty"]
    assert (claim.outcome, claim.bound) == ("worse", "unknown")
    turned = judge(with_tuning([*hasty, *steady]), ["hasty", "steady"], GOAL, "steps").claims[0]
    assert (turned.outcome, turned.bound) == ("worse", "at least")


def test_those_who_all_miss_are_ordered_by_their_final_figure() -> None:
    records = with_tuning(
        [
            *finals("low", [None] * 8, final=0.2),
            *finals("high", [None] * 8, final=0.8),
            *finals("reacher", [99] * 7 + [None], final=0.1),
        ]
    )
    judgement = judge(records, ["low", "high", "reacher"], GOAL)
    assert order(judgement) == ["reacher", "high", "low"]
    assert groups(judgement) == [1, 2, 2]  # of two who never arrive nobody knows who is faster


@pytest.mark.parametrize(("goal", "first"), [(NO_GOAL, "high"), (Goal("loss", "min"), "low")])
def test_without_a_target_final_figures_are_compared(goal: Goal, first: str) -> None:
    figures = {"low": 0.2 + EIGHT / 100, "high": 0.8 + EIGHT / 50}
    records = with_tuning(
        [
            record(name, seed, 5, stage="final", final=figure)
            for name, row in figures.items()
            for seed, figure in zip(FINAL, row.tolist(), strict=True)
        ]
    )
    judgement = judge(records, ["low", "high"], goal)
    (claim,) = judgement.claims
    assert judgement.compared_by == claim.compared_by == "final"
    assert order(judgement)[0] == first
    assert groups(judgement) == [1, 2]
    assert claim.outcome == ("better" if first == "low" else "worse")
    (of_one_pair,) = paired_differences(figures)  # there is no other
    assert (claim.effect.low, claim.effect.high) == pytest.approx(
        (of_one_pair.low, of_one_pair.high)
    )
    assert claim.p == 2 / 2**8
    values = claim.to_dict()
    assert (values["ratio"], values["low"], values["high"]) == (None, None, None)
    assert values["difference"] == pytest.approx(-0.635)
    assert "There is no target" in judgement.notes[0]


def test_where_nobody_reaches_the_target_final_figures_are_compared() -> None:
    records = with_tuning(
        [*finals("a", [None] * 8, final=0.5), *finals("b", [None] * 8, final=0.6)]
    )
    judgement = judge(records, "ab", GOAL)
    assert (order(judgement), groups(judgement)) == (["b", "a"], [1, 2])
    (note,) = judgement.notes
    assert note == (
        "Nobody reached the target of accuracy 0.9: entrants are ordered and compared by their "
        "final accuracy."
    )


@pytest.mark.parametrize("goal", [NO_GOAL, Goal("loss", "min")])
def test_a_diverged_trial_ends_as_badly_as_the_worst(goal: Goal) -> None:
    good, bad = (0.9, 0.4) if goal.direction == "max" else (0.4, 0.9)
    lost = finals("lost", [None] * 8, status="diverged")
    records = with_tuning(
        [*lost, *finals("bad", [None] * 8, final=bad), *finals("good", [None] * 8, final=good)]
    )
    judgement = judge(records, ["lost", "bad", "good"], goal)
    assert order(judgement) == ["good", "bad", "lost"]
    assert groups(judgement) == [1, 2, 2]
    by_pair = {(c.first, c.second): c for c in judgement.claims}
    claim = by_pair["lost", "good"]
    assert (claim.outcome, claim.misses) == ("worse", (8, 0))
    assert claim.effect.estimate == pytest.approx(bad - good)
    assert claim.bound == ("at most" if goal.direction == "max" else "at least")


def test_when_everything_diverged_nobody_is_better() -> None:
    records = [
        *finals("a", [None] * 8, status="diverged"),
        *finals("b", [None] * 8, status="failed"),
        *trials("a", [None] * 3, status="diverged"),
        *trials("b", [None] * 3, status="failed"),
    ]
    judgement = judge(records, "ab", GOAL)
    assert groups(judgement) == [1, 1]
    assert [c.p for c in judgement.claims] == [1]
    assert [s.best.failed for s in judgement.standings] == [0, 8]
    json.dumps(judgement.to_dict(), allow_nan=False)


def test_an_interrupted_final_is_judged_on_the_seeds_that_all_have() -> None:
    records = with_tuning([*finals("a", 10 + EIGHT), *finals("b", [5, 6, 7])])
    judgement = judge(records, "ab", GOAL)
    assert judgement.seeds == (3, 4, 5)
    assert [s.best.trials for s in judgement.standings] == [3, 3]
    assert judgement.standings[1].steps.estimate == 11
    (note,) = judgement.notes
    assert note == (
        "The final is not complete: entrants are judged on the 3 of 8 seeds that all of them have "
        "run. Left out: 6, 7, 8, 9, 10."
    )


def test_before_the_final_there_is_an_order_and_no_claim() -> None:
    records = [
        *trials("a", [500] * 8, range(8)),
        *trials("b", [5] * 8, range(8)),
        *trials("b", [9] * 8, range(8), lr=1.0),
        *trials("late", [7], lr=1.0),
        *trials("a", [1], [20], stage="final"),
    ]
    judgement = judge(records, ["a", "b", "late", "never"], GOAL)
    assert judgement.judged_on == "tuning"
    assert order(judgement) == ["b", "late", "a"]
    assert (groups(judgement), judgement.claims) == ([1, 1, 1], ())
    assert "supports no claim" in judgement.notes[0]


def test_an_entrant_whose_tuning_was_lost_does_not_hold_up_the_others() -> None:
    broken = [record("broken", seed, None, status="failed") for seed in range(3)]
    records = with_tuning([*finals("a", 10 + EIGHT), *finals("b", 50 + EIGHT)])
    judgement = judge([*records, *broken], ["broken", "a", "b"], GOAL)
    assert judgement.judged_on == "final"
    assert (order(judgement), groups(judgement)) == (["a", "b", "broken"], [1, 2, 3])
    assert [(c.first, c.second) for c in judgement.claims] == [("a", "b")]
    assert judgement.notes[0].startswith("broken has no final")


def test_the_point_of_an_entrant_is_that_of_its_final() -> None:
    """A target that changed after the race would now choose another one."""
    records = [
        *trials("a", [10] * 3, lr=0.1),
        *trials("a", [20] * 3, lr=1.0),
        *finals("a", 30 + EIGHT, lr=1.0),
    ]
    judgement = judge(records, ["a"], GOAL)
    assert judgement.chosen == {"a": Point(1.0)}
    assert judgement.tried == {"a": (0.1, 1.0)}
    (standing,) = judgement.standings
    assert (standing.best.lr, standing.edge) == (1.0, "upper")
    assert judge(records[:6], ["a"], GOAL).chosen == {"a": Point(0.1)}


def test_by_seconds_by_gradients_and_by_steps() -> None:
    records = with_tuning(
        [
            *finals("cheap", 100 + EIGHT, step_seconds=0.001, gradients_a_step=2),
            *finals("dear", 50 + EIGHT, step_seconds=0.1, gradients_a_step=3),
        ]
    )
    assert order(judge(records, ["cheap", "dear"], GOAL, "steps")) == ["dear", "cheap"]
    assert order(judge(records, ["cheap", "dear"], GOAL, "seconds")) == ["cheap", "dear"]
    assert order(judge(records, ["cheap", "dear"], GOAL, "gradients")) == ["dear", "cheap"]
    measured = {"cheap": 1.0, "dear": 0.1}
    timed = judge(records, ["cheap", "dear"], GOAL, "seconds", step_seconds=measured)
    assert order(timed) == ["dear", "cheap"]
    assert timed.standings[1].seconds.estimate == 103.5
    assert timed.standings[1].seconds_a_step == 1.0


@pytest.mark.parametrize(("pace", "groups_by_seconds"), [(0.0102, [1, 1]), (0.0108, [1, 2])])
def test_what_only_the_clock_tells_apart_is_not_claimed(
    pace: float, groups_by_seconds: list[int]
) -> None:
    """The same steps on every seed, at seconds a step that were measured once."""
    records = with_tuning([*finals("a", 50 * EIGHT + 50), *finals("b", 50 * EIGHT + 50)])
    measured = {"a": 0.01, "b": pace}
    assert groups(judge(records, "ab", GOAL, "steps", step_seconds=measured)) == [1, 1]
    judgement = judge(records, "ab", GOAL, "seconds", step_seconds=measured)
    assert groups(judgement) == groups_by_seconds
    assert "ratios within 5 % count as equal" in str(judgement.claims[0])


def test_what_lies_within_the_spread_of_the_turns_is_not_claimed() -> None:
    """The same steps on every seed: all that differs is the seconds of a step, and how surely."""
    records = with_tuning([*finals("a", 50 * EIGHT + 50), *finals("b", 50 * EIGHT + 50)])
    measured = {"a": 0.01, "b": 0.015}

    def judged(spread: float | None, by: Any = "seconds") -> Judgement:
        errors = dict.fromkeys("ab", None if spread is None else SharedError(spread, 11))
        return judge(records, "ab", GOAL, by, step_seconds=measured, step_errors=errors)

    exact, sure, unsure = (judged(spread).claims[0] for spread in (None, 0.02, 0.3))
    assert [c.outcome for c in (exact, sure, unsure)] == ["better", "better", "not distinguishable"]
    assert unsure.effect.low < sure.effect.low < exact.effect.low
    assert exact.effect.high < sure.effect.high < 1 < unsure.effect.high
    assert (judged(0.02).may_be_best, judged(0.3).may_be_best) == (("a",), ("a", "b"))
    assert "spread by 30 % (a) to 30 % (b)" in judged(0.3).notes[0]
    assert "did not keep" in judged(None).notes[0]
    assert (
        judged(None).claims == judge(records, "ab", GOAL, "seconds", step_seconds=measured).claims
    )
    assert judged(0.3, "steps").claims == judged(None, "steps").claims
    wide, narrow = (judged(s).standings[0].seconds for s in (0.3, None))
    assert wide.low < narrow.low < narrow.estimate == wide.estimate < narrow.high < wide.high


KEYS: dict[str, set[str]] = {
    "standings": {
        *("rank", "group", "entrant", "lr", "hyperparameters", "edge", "trials", "reached"),
        *("diverged", "failed", "steps", "steps_low", "steps_high", "seconds", "seconds_low"),
        *("seconds_high", "gradients", "gradients_low", "gradients_high", "level", "attained"),
        *("final", "final_low", "final_high", "seconds_a_step"),
    },
    "comparisons": {
        *("first", "second", "outcome", "p", "corrected", "alpha", "ratio", "low", "high"),
        *("level", "attained", "bound", "seeds", "misses", "too_few", "text"),
        *("compared_by", "difference", "difference_low", "difference_high"),
    },
    "tuning": {
        *("entrant", "lr", "hyperparameters", "epochs", "trials", "reached", "steps", "seconds"),
        *("gradients", "final", "final_low", "final_high", "diverged", "failed"),
    },
    "sensitivity": {
        *("entrant", "best", "cost", "factor", "low", "high", "width", "open", "area", "edge"),
        *("width_low", "width_high", "width_level"),
    },
    "budget_curves": {
        *("entrant", "of", "trials", "expected", "low", "high", "missed", "level"),
        "held_out",
    },
    "cost": {"entrant", "tuning", "final", "seconds_a_step", "seconds_spread"},
}


@pytest.mark.parametrize("part", KEYS)
def test_the_parts_have_their_keys_and_hold_no_infinity(part: str) -> None:
    records = [*three(), *trials("slow", [None] * 3, lr=3.0)]
    values: dict[str, Any] = judge(records, ["slow", "fast", "middling"], GOAL).to_dict()
    assert values[part]
    for row in values[part]:
        assert set(row) == KEYS[part]
    json.dumps(values, allow_nan=False)
