"""What a race gives: the trials, the ranking made of them, and the report."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from thalweg.race.entrants import Entrant
from thalweg.race.plan import Plan
from thalweg.race.ranking import (
    Direction,
    RankBy,
    Standing,
    Summary,
    rank,
    summarize_all,
)
from thalweg.race.records import TrialRecord
from thalweg.report import plain_table, verdict, write_race_report

SCHEMA = "thalweg.race/1"


@dataclass(frozen=True)
class Subject:
    """What was raced on: the task's name, its model in words, and the validation figure that
    decides.
    """

    task: str
    model: str
    metric: str
    direction: Direction
    target: float | None


@dataclass(frozen=True)
class Circumstances:
    """How the race ran: when, how long, where, and with which versions."""

    started: str
    seconds: float
    machine: str
    threads: int
    versions: Mapping[str, str]
    command: str | None = None
    reused: int = 0
    interrupted: bool = False


@dataclass(frozen=True)
class RaceResult:
    """The outcome of a race.

    `standings` ranks the entrants, the best first. `records` holds every finished trial. `folder`
    is where they were written, None if they were not.
    """

    subject: Subject
    plan: Plan
    records: tuple[TrialRecord, ...]
    circumstances: Circumstances
    rank_by: RankBy = "steps"
    folder: Path | None = field(default=None, compare=False)

    @property
    def standings(self) -> tuple[Standing, ...]:
        """The entrants, the best first, each at the learning rate that served it best."""
        grids = {entrant.name: entrant.lrs for entrant in self.plan.entrants}
        return rank(self.records, grids, direction=self.subject.direction, by=self.rank_by)

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """Every entrant at every learning rate that has a finished trial."""
        return summarize_all(self.records, self.subject.direction)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; a censored time is None.

        The keys: schema, task, model, metric, target, budget, rank_by, entrants, standings,
        sensitivity (every learning rate), trials (with their learning curves), run.
        """
        subject = self.subject
        return {
            "schema": SCHEMA,
            "task": subject.task,
            "model": subject.model,
            "metric": {"name": subject.metric, "direction": subject.direction},
            "target": _target_dict(subject),
            "budget": {
                "epochs": self.plan.epochs,
                "batch_size": self.plan.batch_size,
                "seeds": list(self.plan.seeds),
            },
            "rank_by": self.rank_by,
            "entrants": [_entrant_dict(entrant) for entrant in self.plan.entrants],
            "standings": [
                {"rank": place.rank, "edge": place.edge, **_summary_dict(place.best)}
                for place in self.standings
            ],
            "sensitivity": [_summary_dict(summary) for summary in self.summaries],
            "trials": [record.to_dict() for record in self.records],
            "run": {
                **asdict(self.circumstances),
                "planned": len(self.plan.trials()),
                "finished": len(self.records),
            },
        }

    def to_json(self) -> str:
        """Return `to_dict` as one JSON document."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def write_report(self, path: str | os.PathLike[str]) -> Path:
        """Write the report, one HTML file that opens offline, and return its path."""
        return write_race_report(self.to_dict(), path)

    def __str__(self) -> str:
        values = self.to_dict()
        return f"{plain_table(values)}\n\n{verdict(values)}"


def _target_dict(subject: Subject) -> dict[str, Any] | None:
    if subject.target is None:
        return None
    metric = subject.metric.replace("_", " ")
    return {"value": subject.target, "text": f"validation {metric} {subject.target:g}"}


def _entrant_dict(entrant: Entrant) -> dict[str, Any]:
    return {
        "name": entrant.name,
        "description": entrant.description,
        "hyperparameters": {name: _plain(value) for name, value in entrant.hyperparameters.items()},
        "lrs": list(entrant.lrs),
    }


def _summary_dict(summary: Summary) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(summary).items()
    }


def _plain(value: Any) -> Any:
    """A hyperparameter as JSON holds it; what JSON cannot hold, in words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return repr(value)
