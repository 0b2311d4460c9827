"""Whole simulated races of six entrants: tuning, the choice of points, the final, and more seeds.

The logarithm of a time depends on the learning rate as a valley does, with a noise of standard deviation
0.25 of each trial's own. Every entrant has the same valley, with its bottom in the middle of the grid, so
that all are equally good, tuned well; where a ratio is given, the others take so many times as long as
the first. Two races are made of the same trials: *before*, with neither runoff nor second look, whose
claims allow for no luck of tuning; *after*, as races are now.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from thalweg.race import Curve, Entrant, Goal, RacePlan, Trial, TrialRecord
from thalweg.race.judging.judge import Judgement, judge
from thalweg.race.judging.looks import in_question
from thalweg.race.rounds import rounds

SPREAD = 0.25
TYPICAL, BUDGET = 100_000, 10_000_000
GOAL = Goal("accuracy", "max", 0.9)
RATES = (0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0)
NAMES = tuple(f"e{k}" for k in range(6))
PLAN = RacePlan(
    entrants=tuple(Entrant(name, torch.optim.SGD, lrs=RATES) for name in NAMES),
    trials=9,
    tuning_seeds=(0, 1, 2),
    final_seeds=tuple(range(3, 11)),
    epochs=1,
    batch_size=None,
    runoff_seeds=tuple(range(100, 108)),
    more_seeds=tuple(range(11, 19)),
)
VALLEYS: dict[str, Callable[[float], float]] = {
    "steep sides, 1.2 a step of the grid": lambda x: 0.2 * abs(x),
    "steep sides, 1.5 a step of the grid": lambda x: 0.4 * abs(x),
    "round, 1.5 a step from the bottom": lambda x: 0.4 * x * x,
}
"""The logarithm of how much longer a trial takes, x steps of the grid (half decades) from the bottom."""


class Known:
    """A target that is known before the race."""

    def before(self) -> Goal:
        return GOAL

    def setters(self, tuned: Sequence[TrialRecord]) -> tuple[Trial, ...]:
        return ()

    def after(self, setting: Sequence[TrialRecord]) -> Goal:
        return GOAL


@dataclass(frozen=True)
class Found:
    """What one race found: whether any pair was told apart, the first was left out, or alone best."""

    told: float
    left_out: float
    winner: float
    trials: float


def one_race(valley: str, ratio: float, number: int) -> tuple[Found, Found]:
    """Run a race as it was before, and as it is now, on the same trials."""
    found = []
    for plan in (replace(PLAN, runoff_seeds=(), more_seeds=()), PLAN):
        records = _play(plan, valley, ratio, number)
        counted = [r for r in records if plan.more_seeds or r.stage == "final"]
        judged = judge(counted, NAMES, GOAL, more_seeds=plan.more_seeds)
        found.append(_found(judged, len(records)))
    return found[0], found[1]


def print_whole_races(pool: ProcessPoolExecutor, number: int) -> None:
    """Print what races found, before and after, each rate from so many of them."""
    print("\n| six entrants, tuned, chosen and judged | equals: any pair told apart ", end="")
    print("| a best one left out | the first wins by 1.4 | trials |")
    print("|---|---|---|---|---|")
    cells = {
        (valley, ratio): [pool.submit(one_race, valley, ratio, k) for k in range(number)]
        for valley in VALLEYS
        for ratio in (1.0, 1.4)
    }
    for valley in VALLEYS:
        equal, unequal = ([race.result() for race in cells[valley, ratio]] for ratio in (1.0, 1.4))
        parts = [
            *(_both(equal, field, ".3f") for field in ("told", "left_out")),
            _both(unequal, "winner", ".2f"),
            _both([*equal, *unequal], "trials", ".0f"),
        ]
        print(f"| {valley} | {' | '.join(parts)} |", flush=True)


def _both(races: Sequence[tuple[Found, Found]], field: str, form: str) -> str:
    means = (np.mean([getattr(race[k], field) for race in races]) for k in (0, 1))
    return " → ".join(f"{mean:{form}}" for mean in means)


def _found(judged: Judgement, trials: int) -> Found:
    return Found(
        told=float(any(c.outcome != "not distinguishable" for c in judged.claims)),
        left_out=float("e0" not in judged.may_be_best),
        winner=float(judged.may_be_best == ("e0",)),
        trials=trials,
    )


def _play(plan: RacePlan, valley: str, ratio: float, number: int) -> list[TrialRecord]:
    records: list[TrialRecord] = []
    protocol = rounds(
        plan,
        Known(),
        in_question=lambda: in_question(records, NAMES, GOAL, "steps", more_seeds=plan.more_seeds),
    )
    try:
        trials = next(protocol)
        while True:
            ended = [_ended(trial, valley, ratio, number) for trial in trials]
            records += ended
            trials = protocol.send(ended)
    except StopIteration:
        return records


def _ended(trial: Trial, valley: str, ratio: float, number: int) -> TrialRecord:
    place, lr = NAMES.index(trial.entrant.name), trial.point.lr
    rng = np.random.default_rng([number, place, round(1e9 * lr), trial.seed])
    log = VALLEYS[valley](2 * math.log10(lr) + 3) + SPREAD * rng.standard_normal()
    steps = round(TYPICAL * math.exp(log) * (ratio if place else 1.0))
    return TrialRecord(
        f"{place} {lr} {trial.seed}",
        trial.entrant.name,
        lr,
        trial.seed,
        "finished",
        stage=trial.stage,
        epochs=trial.epochs,
        steps=BUDGET,
        gradients=BUDGET,
        final=0.95,
        curve=Curve((1,), (steps,), (1.0,), (float(steps),), (0.1,), (0.95,)),
    )
