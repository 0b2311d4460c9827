"""A race: the trials of a plan, one after another, each on disk as soon as it ends."""

from __future__ import annotations

import datetime
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from thalweg.errors import TaskError, suggest
from thalweg.files import write_text
from thalweg.race.entrants import Entrant, OptimizerFactory, gather_entrants
from thalweg.race.fingerprint import keyed_trials
from thalweg.race.machine import machine_name, versions
from thalweg.race.plan import Plan, Trial, gather_seeds
from thalweg.race.ranking import RankBy
from thalweg.race.records import RecordFile, TrialRecord
from thalweg.race.result import Circumstances, RaceResult, Subject
from thalweg.race.trials import run_trial
from thalweg.tasks import Target, Task, load_task
from thalweg.tasks.target import figure
from thalweg.train.threads import count_parameters, fitting_threads, torch_threads

RECORDS = "records.jsonl"
RESULT = "race.json"
REPORT = "report.html"


@dataclass(frozen=True)
class RaceProgress:
    """Where a race stands: `current` is the trial about to run, None after the last."""

    done: int
    planned: int
    current: Trial | None
    seconds_left: float | None


class Race:
    """A race that can be watched, interrupted, and asked for its result at any time.

    Takes the arguments of `race`. `run` runs what is not finished yet; `result` sums up what is.
    """

    def __init__(
        self,
        task: Task | str,
        entrants: Iterable[str | Entrant | OptimizerFactory] | None = None,
        lrs: Sequence[float] | None = None,
        *,
        seeds: int | Iterable[int] = 3,
        epochs: int = 30,
        batch_size: int | None = 128,
        target: float | Target | None = None,
        by: str = "steps",
        out: str | os.PathLike[str] | None = "race-{task}",
        fresh: bool = False,
        threads: int | None = None,
        command: str | None = None,
    ) -> None:
        self.plan = Plan(gather_entrants(entrants, lrs), gather_seeds(seeds), epochs, batch_size)
        self.task = _with_target(load_task(task) if isinstance(task, str) else task, target)
        self.task.data.split("validation")  # raises at once if there is nothing to compare on
        self.rank_by = _checked(by)
        with torch.random.fork_rng(devices=[]):
            model = self.task.build()
        self.subject = _subject(self.task, model)
        self.threads = fitting_threads(count_parameters(model)) if threads is None else threads
        if self.threads < 1:
            raise TaskError(f"A race needs at least one thread, got threads={threads}.")
        self.command = command
        self.interrupted = False
        self._started = datetime.datetime.now(datetime.UTC)
        with torch_threads(self.threads):
            self._trials = keyed_trials(self.task, self.plan, self._setting())
        self.folder = None if out is None else _folder(out, self.task)
        self._file = None if self.folder is None else RecordFile(self.folder / RECORDS)
        if fresh and self._file is not None:
            self._file.set_aside()
        self._records: dict[str, TrialRecord] = self._on_disk()
        self.reused = len(self._records)

    def run(self, progress: Callable[[RaceProgress], None] | None = None) -> None:
        """Run every trial that is not finished yet.

        Raises:
            KeyboardInterrupt: if interrupted; what was finished until then is kept.
        """
        todo = [(key, trial) for key, trial in self._trials if key not in self._records]
        show = progress or (lambda _: None)
        started = time.monotonic()
        try:
            with torch_threads(self.threads):
                for done, (key, trial) in enumerate(todo):
                    spent = time.monotonic() - started
                    left = spent / done * (len(todo) - done) if done else None
                    show(RaceProgress(self.reused + done, len(self._trials), trial, left))
                    self._keep(self._run(key, trial))
        except KeyboardInterrupt:
            self.interrupted = True
            self._records |= self._on_disk()  # it may have struck just after a record was written
            raise
        show(RaceProgress(len(self._trials), len(self._trials), None, 0.0))

    def result(self) -> RaceResult:
        """Return the ranking of what is finished."""
        records = tuple(self._records[key] for key, _ in self._trials if key in self._records)
        circumstances = Circumstances(
            started=self._started.strftime("%Y-%m-%d %H:%M:%S UTC"),
            seconds=sum(record.seconds for record in records),
            machine=machine_name(),
            threads=self.threads,
            versions=versions(),
            command=self.command,
            reused=self.reused,
            interrupted=self.interrupted,
        )
        return RaceResult(
            self.subject, self.plan, records, circumstances, self.rank_by, self.folder
        )

    def write_report(self) -> Path | None:
        """Write the report and the result as JSON into the folder; return the report's path."""
        if self.folder is None:
            return None
        result = self.result()
        write_text(self.folder / RESULT, result.to_json())
        return result.write_report(self.folder / REPORT)

    def _on_disk(self) -> dict[str, TrialRecord]:
        if self._file is None:
            return {}
        return self._file.by_key(key for key, _ in self._trials)

    def _run(self, key: str, trial: Trial) -> TrialRecord:
        return run_trial(self.task, trial, self.plan, metric=self.subject.metric, key=key)

    def _keep(self, record: TrialRecord) -> None:
        if self._file is not None:
            self._file.append(record)
        self._records[record.key] = record

    def _setting(self) -> dict[str, Any]:
        """What the numbers depend on besides task and plan."""
        return {
            "subject": asdict(self.subject),
            "versions": versions(),
            "machine": machine_name(),
            "threads": self.threads,
        }


def race(
    task: Task | str,
    entrants: Iterable[str | Entrant | OptimizerFactory] | None = None,
    lrs: Sequence[float] | None = None,
    *,
    seeds: int | Iterable[int] = 3,
    epochs: int = 30,
    batch_size: int | None = 128,
    target: float | Target | None = None,
    by: RankBy = "steps",
    out: str | os.PathLike[str] | None = "race-{task}",
    fresh: bool = False,
    threads: int | None = None,
    progress: Callable[[RaceProgress], None] | None = None,
) -> RaceResult:
    """Race optimizers on a task: which one trains it fastest?

    Every entrant runs every learning rate of its grid with every seed, each with the same budget. A
    seed fixes the initial weights and the order of the data for all entrants alike. Entrants are
    ranked, each at its best learning rate, by the median steps and seconds of training until a
    validation figure reaches the target (a miss counts as infinite), then by their median final
    figure. A trial that diverges or raises is a miss.

    Args:
        task: a `Task`, the name of a built-in one, or "file.py:function".
        entrants: names, `Entrant`s or optimizer classes, or a mapping of names of your own to them;
            None: SGD, momentum, Nesterov, Adagrad, RMSprop, Adam.
        lrs: learning rates for everyone; None: for each entrant a grid of its own, all of the same
            length.
        seeds: how many, or which.
        epochs: passes over the training set in each trial.
        batch_size: rows in a batch; None for all of them.
        target: the figure to reach, instead of the task's own; a number is one of the same metric.
        by: what decides first, "steps" or "seconds".
        out: the folder of the records; None writes nothing. Trials of the very same configuration
            that are finished there are used again.
        fresh: run those again as well; the old records are kept under another name.
        threads: threads of torch; None: one for a small model, else as many as torch uses.
        progress: called before each trial and after the last.

    Raises:
        TaskError: for a task, entrant or budget that cannot be used.
        KeyboardInterrupt: if interrupted; what was finished is in `out`, and the same call goes on
            from there.

    Example:
        >>> result = race("digits", ["sgd", "adam"], [0.01], seeds=1, epochs=1, out=None)
        >>> len(result.records), result.standings[0].best.entrant
        (2, 'adam')

    Sources: learning rates tuned for each entrant on one grid, and time to a target with misses
    censored: F. Schneider et al., DeepOBS, ICLR 2019; G. Dahl et al., Benchmarking Neural Network
    Training Algorithms, 2023.
    """
    contest = Race(
        task,
        entrants,
        lrs,
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        target=target,
        by=by,
        out=out,
        fresh=fresh,
        threads=threads,
    )
    contest.run(progress)
    return contest.result()


def _folder(out: str | os.PathLike[str], task: Task) -> Path:
    """The folder of a race; a task's name may hold what a file's name cannot."""
    name = re.sub(r"[^\w.-]+", "-", task.name)
    return Path(os.fspath(out).replace("{task}", name))


def _with_target(task: Task, target: float | Target | None) -> Task:
    if target is None:
        return task
    if isinstance(target, Target):
        return task.replace(target=target)
    return task.replace(target=Target(_deciding_metric(task), float(target)))


def _deciding_metric(task: Task) -> str:
    """The validation figure that decides: the target's, else the cost's first metric, else its
    loss.
    """
    if task.target is not None:
        return figure(task.target.metric)
    return task.cost.measures[0].name if task.cost.measures else "loss"


def _subject(task: Task, model: nn.Module) -> Subject:
    metric = _deciding_metric(task)
    return Subject(
        task=task.name,
        model=f"{type(model).__name__} of {count_parameters(model):,} parameters",
        metric=metric,
        direction=task.cost.direction(metric),
        target=None if task.target is None else float(task.target.value),
    )


def _checked(by: str) -> RankBy:
    if by == "steps":
        return "steps"
    if by == "seconds":
        return "seconds"
    hint = suggest(by, ("steps", "seconds"))
    raise TaskError(f"A race is ranked by steps or by seconds, not by {by!r}.{hint}")
