"""A result as a race gives it, made of trials that never ran."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from thalweg.race.judging.judge import judge
from thalweg.race.judging.reached import Goal
from thalweg.race.trials.records import TrialRecord

Record = dict[str, Any]

PACE = {"sgd": 0.0009, "adam": 0.0012}
"""Seconds a step, where they are not a thousandth."""


def judged(
    entrants: Sequence[Record],
    trials: Sequence[Record],
    *,
    task: str,
    metric: Record,
    target: float | None,
    epochs: int,
    steps: int,
    tuning_seeds: Sequence[int] = (0, 1),
    final_seeds: Sequence[int] = (),
    rank_by: str = "steps",
) -> Record:
    """Return the whole result; of the entrants, only what matters to a test need be given."""
    names = [entrant["name"] for entrant in entrants]
    judgement = judge(
        [TrialRecord.from_dict(trial) for trial in trials],
        names,
        Goal(metric["name"], metric["direction"], target),
        rank_by,  # type: ignore[arg-type]
        step_seconds={name: pace(name) for name in names},
    )
    points = {len({t["lr"] for t in trials if t["entrant"] == n}) for n in names}
    result = {
        "schema": "thalweg.race/2",
        "task": task,
        "model": "Sequential, 2,410 parameters",
        "metric": dict(metric),
        "target": _target(metric, target),
        "budget": {
            "epochs": epochs, "batch_size": 128, "steps": steps, "gradients": steps,
            "trials": max(points), "tuning_seeds": list(tuning_seeds),
            "final_seeds": list(final_seeds), "search": "grid", "equal": True,
        },
        "rank_by": rank_by,
        "entrants": [_entrant(entrant, judgement) for entrant in entrants],
        **judgement.to_dict(),
        "trials": list(trials),
        "run": {
            "started": "2025-01-02 03:04:05 UTC", "seconds": 41.5, "machine": "x86_64, 2 cores",
            "threads": 1, "versions": {"thalweg": "0.1.0", "torch": "2.13.0"},
            "command": f"thalweg race {task}", "reused": 0, "interrupted": False,
            "planned": len(trials), "finished": len(trials), "executor": "local",
            "stacking": "stacks of up to 18 models",
        },
    }  # fmt: skip
    whole: Record = json.loads(json.dumps(result, allow_nan=False))  # as a reader of a file gets it
    return whole


def pace(name: str) -> float:
    """Seconds a step of an entrant."""
    return PACE.get(name, 0.001)


def _entrant(given: Record, judgement: Any) -> Record:
    name = given["name"]
    point = judgement.chosen.get(name)
    return {
        "name": name,
        "description": "",
        "hyperparameters": {},
        "search": {},
        "schedule": None,
        "initialization": None,
        "lrs": list(judgement.tried[name]),
        "chosen": None if point is None else dict(point.values),
        "code": None
        if point is None
        else "from thalweg import optim\n\n"
        f"optimizer = optim.{name.title()}(model.parameters(), lr={point.lr:.6g})",
        **given,
    }


def _target(metric: Record, target: float | None) -> Record | None:
    if target is None:
        return None
    text = f"validation {metric['name'].replace('_', ' ')} {target:g}"
    return {"value": target, "text": text, "source": "given", "how": None, "version": None}
