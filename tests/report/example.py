"""Races made up for the reports: a small one by hand, and large ones from planted speeds."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec

import numpy as np

from tests.report.judged import Record, judged, pace
from thalweg.race.judging.evidence import chosen_points
from thalweg.race.judging.reached import Goal
from thalweg.race.several import sum_up
from thalweg.race.trials.records import TrialRecord

ACCURACY = {"name": "accuracy", "direction": "max"}
STEPS_AN_EPOCH = 10
HOSTILE = "<b>&\"mine'</script>"

P = ParamSpec("P")


def trial(
    entrant: str,
    lr: float,
    seed: int,
    metric: Sequence[float | None],
    stage: str = "tuning",
    status: str = "finished",
    stacked: int = 1,
    epochs: int = 4,
) -> Record:
    """A trial record whose curve is `metric`, one value an epoch, of the epochs that it had."""
    steps = [STEPS_AN_EPOCH * (epoch + 1) for epoch in range(len(metric))]
    return {
        "version": 2,
        "key": f"{entrant}-{lr}-{seed}-{stage}",
        "entrant": entrant,
        "lr": lr,
        "hyperparameters": {},
        "seed": seed,
        "stage": stage,
        "status": status,
        "epochs": epochs,
        "steps": steps[-1] if steps else 0,
        "seconds": (steps[-1] if steps else 0) * pace(entrant),
        "gradients": float(steps[-1] if steps else 0),
        "final": metric[-1] if status == "finished" else None,
        "error": None if status == "finished" else "the loss became NaN at step 31",
        "stacked": stacked,
        "curve": {
            "epochs": list(range(1, len(metric) + 1)),
            "steps": steps,
            "seconds": [step * pace(entrant) for step in steps],
            "gradients": [float(step) for step in steps],
            "loss": [None if value is None else 1 - value for value in metric],
            "metric": list(metric),
        },
    }


def example() -> Record:
    """Three entrants and two final seeds by hand: one miss, one diverged trial, one selection on the
    edge, and a name that is meant to do harm.
    """
    trials = [
        trial("adam", 0.01, 0, [0.6, 0.91, 0.94, 0.94]),
        trial("adam", 0.1, 0, [0.5, 0.6], status="diverged"),
        trial("sgd", 0.1, 0, [0.3, 0.4, 0.5, 0.6]),
        trial("sgd", 1.0, 0, [0.5, 0.7, 0.8, 0.91]),
        trial(HOSTILE, 0.1, 0, [0.1, 0.1, 0.1, 0.1]),
        trial("adam", 0.01, 100, [0.6, 0.91, 0.94, 0.94], "final"),
        trial("adam", 0.01, 101, [0.7, 0.92, 0.95, 0.96], "final"),
        trial("sgd", 1.0, 100, [0.5, 0.7, 0.8, 0.91], "final"),
        trial("sgd", 1.0, 101, [0.5, 0.7, 0.8, 0.93], "final"),
        trial(HOSTILE, 0.1, 100, [0.1, 0.1, 0.1, 0.1], "final"),
        trial(HOSTILE, 0.1, 101, [0.1, 0.1, 0.1, 0.1], "final"),
    ]
    code = f"optimizer = mine(model)  # {HOSTILE}\n"
    return judged(
        [{"name": "sgd"}, {"name": "adam"}, {"name": HOSTILE, "code": code}],
        trials,
        task="digits </script>",
        metric=dict(ACCURACY),
        target=0.9,
        epochs=4,
        steps=40,
        tuning_seeds=[0],
        final_seeds=[100, 101],
    )


# Steps to 1 − 1/e of the way at the best learning rate, that rate, and the rate beyond which it diverges.
PLANTED = {
    "sgd": (150.0, 2.0, 30.0),
    "momentum": (52.0, 0.25, 2.0),
    "nesterov": (50.0, 0.25, 3.0),
    "adagrad": (88.0, 0.12, 20.0),
    "rmsprop": (66.0, 0.004, 1.0),
    "adam": (47.0, 0.012, 3.0),
}


def made_once(make: Callable[P, Record]) -> Callable[P, Record]:
    """Make a race once; whoever asks again gets a copy to edit."""
    made: dict[str, str] = {}

    @functools.wraps(make)
    def made_or_copied(*args: P.args, **kwargs: P.kwargs) -> Record:
        key = repr((args, kwargs))
        if key not in made:
            made[key] = json.dumps(make(*args, **kwargs))
        copy: Record = json.loads(made[key])
        return copy

    return made_or_copied


@made_once
def planted_race(
    task: str = "digits",
    *,
    names: Sequence[str] = tuple(PLANTED),
    target: float | None = 0.95,
    final_seeds: int = 8,
    epochs: int = 36,
    hardness: Mapping[str, float] | None = None,
    finals_of: Sequence[str] | None = None,
    metric: Mapping[str, str] = ACCURACY,
    rank_by: str = "steps",
    diverged_final: bool = True,
) -> Record:
    """A race of entrants whose speeds are planted, with noise that is the same every time.

    `hardness` multiplies the steps that an entrant needs on this task; `finals_of` names those whose
    final trials are finished, all by default.
    """
    random = np.random.default_rng(sum(map(ord, task)))
    grid = [10 ** (-4 + k * 2 / 3) for k in range(9)]
    trials = []
    for name in names:
        slow = (hardness or {}).get(name, 1.0)
        for lr in grid:
            trials += [
                _run(name, lr, seed, epochs, slow, random, metric, "tuning") for seed in (0, 1)
            ]
    goal = Goal(metric["name"], metric["direction"], target)  # type: ignore[arg-type]
    chosen = chosen_points([TrialRecord.from_dict(t) for t in trials], names, goal)
    finishing = names if finals_of is None else finals_of
    for name in finishing:
        slow = (hardness or {}).get(name, 1.0)
        for seed in range(100, 100 + final_seeds):
            broken = diverged_final and name == "adagrad" and seed == 101
            lr = 99.0 if broken else chosen[name].lr
            run = _run(name, lr, seed, epochs, slow, random, metric, "final")
            trials.append({**run, "lr": chosen[name].lr, "key": f"{name}-{seed}"})
    result = judged(
        [{"name": name, "description": f"{name} as it is in the books"} for name in names],
        trials,
        task=task,
        metric=dict(metric),
        target=target,
        epochs=epochs,
        steps=epochs * STEPS_AN_EPOCH,
        final_seeds=range(100, 100 + final_seeds),
        rank_by=rank_by,
    )
    planned = len(names) * (len(grid) * 2 + final_seeds)
    result["run"].update(planned=planned, interrupted=planned > len(trials))
    return result


@made_once
def planted_races() -> Record:
    """Four tasks, on which different entrants are good, and one that nobody solves."""
    hard: dict[str, dict[str, float]] = {
        "digits": {},
        "breast_cancer": {"adam": 1.6, "sgd": 0.5, "momentum": 0.8},
        "parity": {"sgd": 9.0, "adagrad": 9.0, "nesterov": 1.4, "momentum": 1.5, "adam": 0.8},
        "deep_linear": dict.fromkeys(PLANTED, 12.0),
    }
    return sum_up([planted_race(task, hardness=slow) for task, slow in hard.items()])


def _run(
    name: str,
    lr: float,
    seed: int,
    epochs: int,
    slow: float,
    random: np.random.Generator,
    metric: Mapping[str, str],
    stage: str,
) -> Record:
    """Exponential approach; the farther the rate from the best, the slower."""
    steps, best, limit = PLANTED[name]
    away = math.log10(lr / best)
    tau = steps * slow * 10 ** (0.16 * away * away) * math.exp(0.12 * random.standard_normal())
    top = 0.972 - 0.004 * abs(away) + 0.002 * random.standard_normal()
    ripple = 0.004 * random.standard_normal(epochs)
    at = STEPS_AN_EPOCH * np.arange(1, epochs + 1)
    curve = np.clip(0.1 + (top - 0.1) * (1 - np.exp(-at / tau)) + ripple, 0.02, 0.999)
    values = curve if metric["direction"] == "max" else 3.2 * np.exp(-4.2 * curve)
    if lr > limit:
        early = [float(v) for v in values[: 3 + seed % 2]]
        return trial(name, lr, seed, early, stage, "diverged", 18, epochs)
    return trial(
        name, lr, seed, [round(float(v), 5) for v in values], stage, "finished", 18, epochs
    )


def awkward() -> dict[str, Record]:
    """Races that a report must stand: by what is odd about each."""
    nobody = judged(
        [{"name": "sgd"}, {"name": "adam"}],
        [],
        task="digits",
        metric=ACCURACY,
        target=0.9,
        epochs=4,
        steps=40,
    )
    nobody["run"].update(planned=11, interrupted=True)
    return {
        "nothing finished": nobody,
        "one entrant": planted_race(names=["adam"]),
        "no target": planted_race(target=None),
        "target reached by nobody": planted_race(target=0.999, diverged_final=False),
        "no final trials yet": planted_race(finals_of=[]),
        "half of the final trials": planted_race(finals_of=["adam", "sgd", "momentum"]),
        "one final seed": planted_race(final_seeds=1),
        "three final seeds": planted_race(final_seeds=3),
        "a loss as metric": planted_race(
            target=0.08, metric={"name": "cross_entropy", "direction": "min"}
        ),
        "by seconds": planted_race(rank_by="seconds"),
    }
