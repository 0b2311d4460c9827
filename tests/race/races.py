"""Races of a few milliseconds, and what two of them have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from thalweg.race import Race, RaceResult, TrialRecord

TRIALS = 12
"""The trials of a small race: two entrants, two rates, two seeds; then two seeds of the final."""

SETTERS = 8
"""Those that set the target of a task that has none."""


def small(**other: Any) -> dict[str, Any]:
    """The arguments of a small race."""
    return {
        "entrants": ["sgd", "adam"],
        "lrs": [0.03, 0.3],
        "seeds": 2,
        "final_seeds": 2,
        "epochs": 4,
        "stack": False,
    } | other


def timeless(record: TrialRecord) -> TrialRecord:
    """The record without its seconds, which no two runs share."""
    return replace(record, seconds=0.0, curve=replace(record.curve, seconds=()))


def outcome(contest: Race | RaceResult) -> dict[str, Any]:
    """The records by key, and the ranking and the target that follow from them."""
    result = contest.result() if isinstance(contest, Race) else contest
    values = result.to_dict()
    keys = ("entrant", "rank", "group", "lr", "hyperparameters", "steps", "reached", "final")
    return {
        "records": {record.key: timeless(record) for record in result.records},
        "standings": [{key: place[key] for key in keys} for place in values["standings"]],
        "target": values["target"],
        "chosen": {entrant["name"]: entrant["chosen"] for entrant in values["entrants"]},
    }


def by_stage(contest: Race | RaceResult, stage: str) -> list[TrialRecord]:
    """The records of tuning, or those of the final."""
    records = contest.result().records if isinstance(contest, Race) else contest.records
    return [record for record in records if record.stage == stage]
