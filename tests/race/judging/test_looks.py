"""Two looks: whom the second one compares, and that both together claim no more than one would."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.race.recorded import GOAL, trials
from tests.statistics.simulated import check_at_least, count
from thalweg.race.judging.judge import Judgement, judge
from thalweg.race.judging.looks import in_question
from thalweg.race.trials.records import TrialRecord
from thalweg.statistics import SharedError

FIRST, MORE = tuple(range(3, 11)), tuple(range(11, 19))
BUDGET = 1_000_000
SPREAD = 0.25


def rows(rng: np.random.Generator, ratios: Sequence[float]) -> dict[str, list[float]]:
    """Log-normal steps on the seeds of both looks."""
    logs = np.log(ratios)[:, None] + SPREAD * rng.standard_normal((len(ratios), 16))
    steps = np.ceil(10_000 * np.exp(logs))
    return {f"e{k}": row.tolist() for k, row in enumerate(steps)}


def final(name: str, row: Sequence[float], seeds: Sequence[int]) -> list[TrialRecord]:
    return trials(name, row, seeds, stage="final", budget=BUDGET)


def race(of: dict[str, list[float]]) -> tuple[tuple[str, ...], Judgement]:
    """Whom the first look leaves in question, and the judgement once these ran on."""
    records = [r for name, row in of.items() for r in final(name, row[:8], FIRST)]
    open_ones = in_question(records, list(of), GOAL, "steps", more_seeds=MORE)
    if len(open_ones) > 1:
        records += [r for name in open_ones for r in final(name, of[name][8:], MORE)]
    assert in_question(records, list(of), GOAL, "steps", more_seeds=MORE) == open_ones
    return open_ones, judge(records, list(of), GOAL, more_seeds=MORE)


def test_only_those_in_question_are_judged_on_all_seeds() -> None:
    rng = np.random.default_rng(0)
    open_ones, judged = race(rows(rng, [1.0, 1.1, 3.0, 3.3]))
    assert set(open_ones) == {"e0", "e1"} == set(judged.looked_again)
    seeds = {place.entrant: place.best.trials for place in judged.standings}
    assert seeds == {"e0": 16, "e1": 16, "e2": 8, "e3": 8}
    assert {place.entrant for place in judged.standings[:2]} == set(open_ones)
    assert judged.seeds == (*FIRST, *MORE)
    assert judged.to_dict()["second_look"] == {
        "entrants": list(judged.looked_again),
        "seeds": list(MORE),
    }
    by_pair = {frozenset((c.first, c.second)): c for c in judged.claims}
    assert len(by_pair) == len(judged.claims) == 6
    assert by_pair[frozenset(("e0", "e1"))].seeds == 16
    assert by_pair[frozenset(("e0", "e2"))].seeds == 8
    assert {round(c.effect.attained, 12) for c in judged.claims} == {
        round(judged.claims[0].effect.attained, 12)
    }
    assert 0.95 <= judged.claims[0].effect.attained < 0.97
    for claim in judged.claims:
        assert (1.0 in claim.effect) == (claim.outcome == "not distinguishable")
        assert (claim.corrected <= 0.05) == (claim.outcome != "not distinguishable")


def test_a_race_that_is_clear_after_the_first_look_runs_no_more() -> None:
    open_ones, judged = race(rows(np.random.default_rng(1), [1.0, 3.0]))
    assert open_ones == ("e0",) == judged.may_be_best
    assert (judged.looked_again, judged.seeds, judged.further) == ((), FIRST, None)
    assert judged.claims[0].outcome == "better"


def test_a_second_look_that_is_not_complete_does_not_count() -> None:
    of = rows(np.random.default_rng(2), [1.0, 1.0, 1.0])
    records = [r for name, row in of.items() for r in final(name, row[:8], FIRST)]
    before = judge(records, list(of), GOAL, more_seeds=MORE)
    records += [r for name, row in of.items() for r in final(name, row[8:11], MORE[:3])]
    judged = judge(records, list(of), GOAL, more_seeds=MORE)
    assert (judged.claims, judged.seeds, judged.looked_again) == (before.claims, FIRST, ())
    (note,) = judged.notes
    assert note.startswith("The entrants in question have not run all of their further seeds")


def test_without_more_seeds_a_race_looks_once() -> None:
    of = rows(np.random.default_rng(3), [1.0, 1.4, 1.4])
    records = [r for name, row in of.items() for r in final(name, row[:8], FIRST)]
    judged = judge(records, list(of), GOAL)
    assert {c.share for c in judged.claims} == {1.0}
    assert judged.claims[0].effect.attained == 1 - 12 / 256


def test_what_more_seeds_would_cost_and_tell_is_said() -> None:
    open_ones, judged = race(rows(np.random.default_rng(4), [1.0, 1.0, 1.0, 4.0]))
    more = judged.further
    assert more is not None
    assert set(more.entrants) == set(judged.may_be_best) <= set(open_ones)
    assert (more.seeds, more.trials) == (16, 16 * len(more.entrants))
    assert more.seconds == pytest.approx(more.trials * BUDGET * 0.01)  # of each trial, rounded
    assert 1 < more.then < more.now
    assert np.log(more.now) / np.log(more.then) == pytest.approx(2**0.5)  # rounding


def test_by_seconds_both_looks_hold_the_spread_of_the_turns_which_no_seed_makes_less() -> None:
    of = rows(np.random.default_rng(6), [1.0, 1.0, 2.0])
    seconds = dict.fromkeys(of, 0.01)
    found = {}
    for spread in (0.0, 0.3):
        errors = dict.fromkeys(of, SharedError(spread, 11))
        records = [r for name, row in of.items() for r in final(name, row[:8], FIRST)]
        open_ones = in_question(
            records, list(of), GOAL, "seconds", seconds, MORE, step_errors=errors
        )
        records += [r for name in open_ones for r in final(name, of[name][8:], MORE)]
        found[spread] = judge(
            records, list(of), GOAL, "seconds", more_seeds=MORE, step_seconds=seconds,
            step_errors=errors,
        )  # fmt: skip
        assert set(found[spread].looked_again) == set(open_ones)
    assert set(found[0.0].looked_again) == {"e0", "e1"}
    assert set(found[0.3].looked_again) == set(of)
    sure, unsure = (found[spread].further for spread in (0.0, 0.3))
    assert sure is not None
    assert unsure is not None
    # ratios of up to 1.05 count as equal, however many seeds there are; rounding
    assert np.log(sure.now / 1.05) / np.log(sure.then / 1.05) == pytest.approx(2**0.5)
    assert sure.then < sure.now < unsure.then < unsure.now < 1.1 * unsure.then


@pytest.mark.full
def test_both_looks_together_claim_of_equals_what_one_may() -> None:
    rng = np.random.default_rng(5)

    def nothing_false() -> bool:
        _, judged = race(rows(rng, [1.0] * 3))
        return all(c.outcome == "not distinguishable" for c in judged.claims)

    check_at_least(0.95, count(60, nothing_false), 60)


@pytest.mark.full
def test_the_second_look_finds_what_the_first_cannot() -> None:
    rng = np.random.default_rng(6)
    once = twice = 0
    for _ in range(60):
        of = rows(rng, [1.0, 1.4, 1.4, 1.4, 1.4, 1.4])
        _, judged = race(of)
        twice += judged.may_be_best == ("e0",)
        records = [r for name, row in of.items() for r in final(name, row[:8], FIRST)]
        once += judge(records, list(of), GOAL).may_be_best == ("e0",)
    # measured: 0.2 and 0.65 of races
    assert once < 25
    assert twice > 27
