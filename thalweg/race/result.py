"""The result of a race: its trials, how they are judged, and the report."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.judging.judge import Judgement, judge
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.standings import Standing
from thalweg.race.judging.summary import Summary
from thalweg.race.judging.target import FoundTarget
from thalweg.race.raced_task import RacedTask
from thalweg.race.search.grid import thinned
from thalweg.race.trials.as_code import code_of
from thalweg.race.trials.plan import RacePlan
from thalweg.race.trials.ranking import RankBy
from thalweg.race.trials.records import TrialRecord
from thalweg.race.trials.step_time import StepTime
from thalweg.report import plain_table, write_race_report
from thalweg.report.words.verdict import detail, headline
from thalweg.tasks.initialize import text_of

SCHEMA = "thalweg.race/2"
_BUSY = 0.9
"""The share of the time that a timed process has a processor for, on a machine that has room for it."""


@dataclass(frozen=True)
class Circumstances:
    """How the race ran: when, how long, where, and with which versions.

    `seconds` is the training of all trials, `wall_seconds` what this race took from its beginning,
    None where it ran nothing.
    """

    started: str
    seconds: float
    machine: str
    threads: int
    versions: Mapping[str, str]
    command: str | None = None
    reused: int = 0
    interrupted: bool = False
    wall_seconds: float | None = None
    executor: str = "local"
    stacking: str = ""


@dataclass(frozen=True)
class RaceResult:
    """The outcome of a race.

    `standings` ranks the entrants, the best first. `records` holds every finished trial. `steps` is
    the length of a trial, `own_steps` that of entrants with a batch size of their own, `gradients`
    its budget in gradient-equivalents, and `step_times` the seconds of a step, measured alone. `found` says
    how the target was found, where neither the user nor the task gave one. `remarks` are
    sentences on the task that a reader should know. `planned` counts all trials, as far as is known:
    the race is complete where there are as many records. `folder` is where the records were written,
    None if they were not.
    """

    subject: RacedTask
    plan: RacePlan
    records: tuple[TrialRecord, ...]
    circumstances: Circumstances
    goal: Goal
    rank_by: RankBy = "steps"
    steps: int | None = None
    gradients: float | None = None
    own_steps: Mapping[str, int | None] = field(default_factory=dict)
    step_times: Mapping[str, StepTime] = field(default_factory=dict)
    found: FoundTarget | None = None
    remarks: tuple[str, ...] = ()
    planned: int | None = None
    folder: Path | None = field(default=None, compare=False)

    @cached_property
    def judgement(self) -> Judgement:
        """The ranking and comparisons, computed from the finished trials."""
        return judge(
            self.records,
            [entrant.name for entrant in self.plan.entrants],
            self.goal,
            self.rank_by,
            search=self.plan.search,
            step_seconds=self.step_seconds or None,
            step_errors={name: time.error for name, time in self.step_times.items()},
            grids=self._grids(),
            more_seeds=self.plan.more_seeds,
        )

    @property
    def step_seconds(self) -> dict[str, float]:
        """The seconds of a step of each entrant that was timed."""
        return {name: time.seconds for name, time in self.step_times.items()}

    @property
    def standings(self) -> tuple[Standing, ...]:
        """The entrants, the best first, each at the point that served it best."""
        return self.judgement.standings

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """Every point of tuning that has a finished trial."""
        return self.judgement.tuning

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; a censored cost is None.

        The keys: schema, task, model, metric, target, budget, rank_by, entrants, judged_on,
        compared_by, judged_seeds, second_look, slack, further_seeds, notes, standings, comparisons,
        may_be_best, tuning, sensitivity, budget_curves, cost, trials (with their learning curves), run.
        """
        subject, plan, judged = self.subject, self.plan, self.judgement.to_dict()
        return {
            "schema": SCHEMA,
            "task": subject.task,
            "model": subject.model,
            "metric": {"name": subject.metric, "direction": subject.direction},
            "target": self._target(),
            "budget": {
                "epochs": plan.epochs,
                "batch_size": plan.batch_size,
                "steps": self.steps,
                "gradients": self.gradients,
                "trials": plan.trials,
                "tuning_seeds": list(plan.tuning_seeds),
                "final_seeds": list(plan.final_seeds),
                "target_seeds": list(plan.target_seeds),
                "runoff_seeds": list(plan.runoff_seeds),
                "more_seeds": list(plan.more_seeds),
                "search": plan.search,
                "equal": True,
            },
            "rank_by": self.rank_by,
            "entrants": [self._entrant(entrant) for entrant in plan.entrants],
            **judged,
            "notes": [*self.remarks, *self._load(), *judged["notes"]],
            "trials": [record.to_dict() for record in self.records],
            "run": {
                **asdict(self.circumstances),
                "planned": len(self.records) if self.planned is None else self.planned,
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
        return "\n\n".join(filter(None, (headline(values), plain_table(values), detail(values))))

    def _load(self) -> Iterator[str]:
        """A note on a machine that did something else while steps were timed, where seconds decide."""
        shares = [time.busy for time in self.step_times.values() if time.busy is not None]
        if self.rank_by == "seconds" and shares and min(shares) < _BUSY:
            yield (
                f"While steps were timed, the process had a processor for {100 * min(shares):.0f} % of the "
                "time: it waited for one that others used, or for data. On a quiet machine seconds are surer."
            )

    def _grids(self) -> dict[str, tuple[float, ...]]:
        """The rates that each entrant's grid began with; what followed was placed by the results."""
        if self.plan.search != "grid":
            return {}
        return {
            entrant.name: thinned(sorted(set(entrant.lrs)), self.plan.trials)
            for entrant in self.plan.entrants
        }

    def _target(self) -> dict[str, Any] | None:
        if self.goal.value is None:
            return None
        metric = self.subject.metric.replace("_", " ")
        return {
            "value": self.goal.value,
            "text": f"validation {metric} {self.goal.value:g}",
            "source": self.subject.source,
            "how": None if self.found is None else self.found.how,
            "version": None if self.found is None else self.found.version,
            "rule": None if self.found is None else self.found.rule,
        }

    def _entrant(self, entrant: Entrant) -> dict[str, Any]:
        point = self.judgement.chosen.get(entrant.name)
        steps = self.own_steps.get(entrant.name, self.steps)
        tried = self.judgement.tried.get(entrant.name) or entrant.lrs
        return {
            "name": entrant.name,
            "description": entrant.description,
            "hyperparameters": {
                name: _plain(value) for name, value in entrant.hyperparameters.items()
            },
            "search": {name: space.text for name, space in entrant.search.items()},
            "schedule": _name(entrant.schedule),
            "initialization": text_of(entrant.init) or _name(entrant.init),
            "batch_size": entrant.batch_size,
            "lrs": list(tried),
            "chosen": None
            if point is None
            else {name: _plain(value) for name, value in point.values.items()},
            "code": None if point is None else code_of(entrant, point, steps),
        }


def _name(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else getattr(value, "__name__", "own")


def _plain(value: Any) -> Any:
    """A hyperparameter as JSON holds it; what JSON cannot hold, in words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return repr(value)
