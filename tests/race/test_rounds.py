"""The protocol, without any training: what is asked for, of whom, on which seeds."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from thalweg.race import Curve, Entrant, Goal, Point, RacePlan, Trial, TrialRecord
from thalweg.race.entrants.space import uniform
from thalweg.race.rounds import rounds

GOAL = Goal("mse", "min", 0.05)
EPOCHS = 9
RATES = (0.01, 0.1, 1.0)
BEST = {"a": 0.1, "b": 1.0, "c": 0.01}
Gives = Callable[[Trial], TrialRecord]


def plan(*names: str, **changes: Any) -> RacePlan:
    entrants = tuple(Entrant(name, torch.optim.SGD, lrs=RATES) for name in names or BEST)
    parts: dict[str, Any] = {
        "entrants": entrants,
        "trials": 3,
        "tuning_seeds": (0, 1, 2),
        "final_seeds": (10, 11),
        "epochs": EPOCHS,
        "batch_size": None,
    }
    return RacePlan(**(parts | changes))


def record(trial: Trial, reached: float, **others: Any) -> TrialRecord:
    """A trial that met the goal at a step, with the budget of a hundred."""
    steps = (reached, 100) if reached <= 100 else (100,)
    parts: dict[str, Any] = {
        "epochs": trial.epochs,
        "steps": 100,
        "gradients": 100.0,
        "final": 0.01 if reached <= 100 else 1.0,
        "hyperparameters": dict(trial.point.others),
        "curve": Curve(
            epochs=(1,) * len(steps),
            steps=steps,  # type: ignore[arg-type]
            seconds=(1.0,) * len(steps),
            gradients=steps,
            loss=(1.0,) * len(steps),
            metric=(0.01,) * len(steps) if reached <= 100 else (1.0,),
        ),
    }
    key = f"{trial.entrant.name} {trial.point} {trial.seed} {trial.epochs}"
    lr, seed = trial.point.lr, trial.seed
    whole = {"status": "finished", "stage": trial.stage} | parts | others
    return TrialRecord(key, trial.entrant.name, lr, seed, **whole)


def bowl(trial: Trial) -> TrialRecord:
    """The nearer to the entrant's best rate, the sooner, with a little noise of the seed."""
    distance = abs(math.log10(trial.point.lr / BEST[trial.entrant.name]))
    return record(trial, 20 + 20 * distance + trial.seed % 3)


class Known:
    """A target that is known before the race."""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal

    def before(self) -> Goal:
        return self.goal

    def setters(self, tuned: Sequence[TrialRecord]) -> tuple[Trial, ...]:
        return ()

    def after(self, setting: Sequence[TrialRecord]) -> Goal:
        assert not setting
        return self.goal


def play(
    plan: RacePlan, gives: Gives, goal: Goal = GOAL, by: Any = "steps"
) -> list[tuple[Trial, ...]]:
    protocol = rounds(plan, Known(goal), by)
    played = []
    try:
        trials = next(protocol)
        while True:
            played.append(trials)
            trials = protocol.send([gives(trial) for trial in trials])
    except StopIteration:
        return played


def split(played: list[tuple[Trial, ...]]) -> tuple[list[Trial], list[Trial]]:
    tuning = [trial for trials in played[:-1] for trial in trials]
    assert all(trial.stage == "tuning" for trial in tuning)
    assert all(trial.stage == "final" for trial in played[-1])
    return tuning, list(played[-1])


@pytest.mark.parametrize("search", ["grid", "quasi-random", "halving", "tpe"])
@pytest.mark.parametrize("trials", [1, 3, 9])
def test_every_entrant_spends_the_same_budget(search: str, trials: int) -> None:
    if search == "tpe":
        pytest.importorskip("optuna")
    tuning, final = split(play(plan(trials=trials, search=search), bowl))
    epochs: dict[str, int] = defaultdict(int)
    for trial in tuning:
        epochs[trial.entrant.name] += trial.epochs
    assert len(set(epochs.values())) == 1
    # every point on every seed of tuning, never twice; halving may leave some of the budget
    runs = Counter((t.entrant.name, t.point, t.epochs) for t in tuning)
    assert set(runs.values()) == {3}
    assert len({(t.entrant.name, t.point, t.epochs, t.seed) for t in tuning}) == len(tuning)
    full = trials * 3 * EPOCHS
    assert 0.5 * full < epochs["a"] <= full
    assert search == "halving" or epochs["a"] == full
    assert Counter(t.entrant.name for t in final) == {"a": 2, "b": 2, "c": 2}
    assert {t.epochs for t in final} == {EPOCHS}


def test_what_tunes_does_not_judge() -> None:
    tuning, final = split(play(plan(), bowl))
    assert {trial.seed for trial in tuning} == {0, 1, 2}
    assert {trial.seed for trial in final} == {10, 11}


def test_the_final_runs_the_best_point_of_each() -> None:
    _, final = split(play(plan(), bowl))
    assert {trial.entrant.name: trial.point.lr for trial in final} == BEST
    assert {trial.point.others for trial in final} == {()}


def level(trial: Trial) -> TrialRecord:
    """The two greater rates of every entrant are about as good; the smallest is far behind."""
    noise = (trial.seed * 7 + round(100 * trial.point.lr)) % 5
    return record(trial, (80 if trial.point.lr == 0.01 else 20) + noise)


def test_points_that_are_close_run_again_and_all_their_seeds_choose() -> None:
    whole = plan(runoff_seeds=(90, 91, 92, 93))

    def gives(trial: Trial) -> TrialRecord:
        """On the seeds of the runoff the greatest rate turns out to be much better."""
        late = trial.seed >= 90 and trial.point.lr == 1.0
        return record(trial, 5) if late else level(trial)

    *_, runoff, final = play(whole, gives)
    assert {trial.stage for trial in runoff} == {"runoff"}
    runs = Counter((trial.entrant.name, trial.point.lr) for trial in runoff)
    assert runs == {(name, lr): 4 for name in BEST for lr in (0.1, 1.0)}
    assert [trial.seed for trial in runoff[::6]] == [90, 91, 92, 93]
    assert {trial.point.lr for trial in final} == {1.0}
    assert {trial.seed for trial in final} == {10, 11}
    *_, last = play(plan(), gives)
    assert {trial.point.lr for trial in last} != {1.0}  # tuning alone would have chosen another


def test_points_that_are_clear_do_not_run_again() -> None:
    tuning, final = split(play(plan(runoff_seeds=(90, 91)), bowl))
    assert {trial.stage for trial in tuning} == {"tuning"}
    assert {trial.entrant.name: trial.point.lr for trial in final} == BEST


def test_those_in_question_run_more_seeds_and_nobody_else() -> None:
    whole = plan(more_seeds=(12, 13, 14))

    def after(names: tuple[str, ...]) -> list[tuple[Trial, ...]]:
        protocol, played = rounds(whole, Known(GOAL), "steps", lambda: names), []
        try:
            trials = next(protocol)
            while True:
                played.append(trials)
                trials = protocol.send([bowl(trial) for trial in trials])
        except StopIteration:
            return played

    *_, final, more = after(("c", "a"))
    assert Counter(trial.entrant.name for trial in final) == {"a": 2, "b": 2, "c": 2}
    assert Counter((t.entrant.name, t.stage) for t in more) == {
        ("a", "final"): 3,
        ("c", "final"): 3,
    }
    assert {trial.seed for trial in more} == {12, 13, 14}
    assert {(t.entrant.name, t.point) for t in more} <= {(t.entrant.name, t.point) for t in final}
    for decided in ((), ("a",)):
        assert after(decided)[-1] == final


def test_the_final_is_fair_in_its_order() -> None:
    _, final = split(play(plan(final_seeds=(10, 11, 12, 13)), bowl))
    turns = ["".join(t.entrant.name for t in final[i : i + 3]) for i in range(0, 12, 3)]
    assert turns == ["abc", "bca", "cab", "abc"]
    assert [trial.seed for trial in final[::3]] == [10, 11, 12, 13]


def test_one_seed_of_tuning_is_complete_before_the_next_begins() -> None:
    first = play(plan(), bowl)[0]
    assert [trial.seed for trial in first] == [0] * 9 + [1] * 9 + [2] * 9


def test_the_grid_goes_beyond_its_edge_or_between_its_rates() -> None:
    played = play(plan(trials=5), bowl)
    tried: dict[str, list[float]] = defaultdict(list)
    for trials in played[1:-1]:
        for trial in trials:
            if trial.point.lr not in tried[trial.entrant.name]:
                tried[trial.entrant.name].append(trial.point.lr)
    assert set(tried["a"]) == {0.0316, 0.316}  # the best is in the middle
    assert tried["b"][0] == 10.0
    assert tried["c"][0] == 0.001


def test_points_hold_all_that_is_searched() -> None:
    entrant = Entrant("a", torch.optim.SGD, lrs=RATES, search={"momentum": uniform(0.5, 0.9)})
    whole = plan(entrants=(entrant,), trials=8, search="quasi-random")
    tuning, final = split(play(whole, bowl))
    assert all(0.5 <= dict(trial.point.others)["momentum"] <= 0.9 for trial in tuning)
    assert len({trial.point for trial in tuning}) == 8
    best = min((t.point for t in tuning), key=lambda p: abs(math.log10(p.lr / 0.1)))
    assert {trial.point for trial in final} == {best}


def lost(status: str) -> Gives:
    def gives(trial: Trial) -> TrialRecord:
        if trial.entrant.name == "b":
            return record(trial, 500, status=status, final=None, curve=Curve())
        return bowl(trial)

    return gives


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_who_lost_every_trial_does_not_come_to_the_final(status: str) -> None:
    tuning, final = split(play(plan(trials=5), lost(status)))
    assert Counter(trial.entrant.name for trial in tuning) == {"a": 15, "b": 15, "c": 15}
    assert Counter(trial.entrant.name for trial in final) == {"a": 2, "c": 2}


def test_a_race_that_all_lost_has_an_empty_final() -> None:
    _, final = split(play(plan("b"), lost("failed")))
    assert final == []


def test_who_finished_one_trial_of_many_does_come() -> None:
    def gives(trial: Trial) -> TrialRecord:
        if trial.point.lr == 0.01 and trial.seed == 2:
            return record(trial, 500)
        return record(trial, 500, status="diverged", final=None)

    _, final = split(play(plan("a"), gives))
    assert len(final) == 2


def test_by_gradients_the_cheaper_point_is_chosen() -> None:
    def gives(trial: Trial) -> TrialRecord:
        """The rate 1 takes fewer steps, and more gradients in each."""
        few = trial.point.lr == 1.0
        each = record(trial, 10 if few else 30)
        factor = 5.0 if few else 1.0
        curve = each.curve
        values = {name: getattr(curve, name) for name in Curve.__dataclass_fields__}
        values["gradients"] = tuple(factor * step for step in curve.steps)
        return record(trial, 10 if few else 30, curve=Curve(**values))

    for by, lr in (("steps", 1.0), ("gradients", 0.01)):
        _, final = split(play(plan("a"), gives, by=by))
        assert {trial.point.lr for trial in final} == {lr}


@pytest.mark.parametrize("search", ["grid", "quasi-random", "halving", "tpe"])
def test_the_same_records_lead_through_the_same_rounds(search: str) -> None:
    if search == "tpe":
        pytest.importorskip("optuna")
    whole = plan(trials=9, search=search)
    first = play(whole, bowl)
    torch.manual_seed(99)
    assert play(whole, bowl) == first
    # and an entrant's points do not depend on who else takes part
    alone, _ = split(play(plan("b", trials=9, search=search), bowl))
    assert Counter((t.point, t.epochs) for t in alone) == Counter(
        (t.point, t.epochs) for t in split(first)[0] if t.entrant.name == "b"
    )


def test_a_round_of_its_own_sets_the_target_which_decides_the_final() -> None:
    """Before, the final figures tell which point is good; the target then says otherwise."""
    whole = plan("a")
    seen: list[tuple[str, int]] = []

    class Sets:
        def before(self) -> Goal:
            return Goal("mse", "min")

        def setters(self, tuned: Sequence[TrialRecord]) -> tuple[Trial, ...]:
            seen.append(("tuned", len(tuned)))
            (entrant,) = whole.entrants
            return tuple(Trial(entrant, Point(0.1), seed, EPOCHS, "target") for seed in (90, 91))

        def after(self, setting: Sequence[TrialRecord]) -> Goal:
            seen.extend((record.stage, record.seed) for record in setting)
            return GOAL

    def gives(trial: Trial) -> TrialRecord:
        final = {0.01: 0.03, 0.1: 0.001, 1.0: 0.04}[trial.point.lr]
        return record(trial, {0.01: 70, 0.1: 50, 1.0: 20}[trial.point.lr], final=final)

    protocol = rounds(whole, Sets())
    setters = protocol.send([gives(trial) for trial in next(protocol)])
    assert [(trial.stage, trial.seed) for trial in setters] == [("target", 90), ("target", 91)]
    final = protocol.send([gives(trial) for trial in setters])
    assert seen == [("tuned", 9), ("target", 90), ("target", 91)]
    assert {trial.point for trial in final} == {Point(1.0)}
