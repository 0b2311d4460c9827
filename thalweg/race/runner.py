"""A race that can be watched, interrupted and gone on with: its rounds, each trial on disk at once."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.files import write_text
from thalweg.race.entrants.entrant import Contender, Entrant
from thalweg.race.executors.executor import Executor, Local, cores_for, find_executor
from thalweg.race.executors.forking import bound_to_process
from thalweg.race.executors.machine import machine_name, versions
from thalweg.race.executors.processes import apart, can_fork
from thalweg.race.judging.evidence import chosen_points
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.selection import CostUnit
from thalweg.race.judging.target import (
    FoundTarget,
    TargetFile,
    baselines_among,
    find_target,
    hash_of,
)
from thalweg.race.progress import Show, Watch
from thalweg.race.result import Circumstances, RaceResult
from thalweg.race.rounds import rounds
from thalweg.race.stack_decision import LARGEST, Stacking, choose_stacking
from thalweg.race.subject import (
    batch_size_of,
    folder_of,
    make_plan,
    subject_of,
    with_target,
)
from thalweg.race.trials.keys import Keys
from thalweg.race.trials.ledger import Ledger
from thalweg.race.trials.measured import MeasuredFile
from thalweg.race.trials.plan import Point, RankBy, Setting, Trial, checked_rank
from thalweg.race.trials.records import TrialRecord
from thalweg.race.trials.timing import MOST_PARAMETERS, measure_seconds
from thalweg.reading import is_number
from thalweg.tasks import Target, Task, load_task
from thalweg.train.threads import count_parameters, fitting_threads, torch_threads

RECORDS = "records.jsonl"
MEASURED = "measured.json"
TARGET = "target.json"
RESULT = "race.json"
REPORT = "report.html"


class Race:
    """A race that can be watched, interrupted, and asked for its result at any time.

    Takes the arguments of `race`. `run` runs what is not finished yet; `result` sums up what is.
    `reused` counts the trials that are kept from before, `failed` those that are tried again.
    """

    def __init__(
        self,
        task: Task | str,
        entrants: Iterable[Contender] | None = None,
        lrs: Sequence[float] | None = None,
        *,
        trials: int | None = None,
        search: str | None = None,
        seeds: int | Iterable[int] = 3,
        final_seeds: int | Iterable[int] = 8,
        epochs: int | None = None,
        batch_size: int | str | None = "task",
        target: float | Target | None = None,
        by: str | None = None,
        out: str | os.PathLike[str] | None = "race-{task}",
        fresh: bool = False,
        threads: int | None = None,
        stack: bool | int | None = None,
        executor: str | Executor = "local",
        workers: int | None = None,
        command: str | None = None,
    ) -> None:
        self.task = with_target(load_task(task) if isinstance(task, str) else task, target)
        self.task.data.split("validation")  # raises at once if there is nothing to compare on
        self.plan = make_plan(
            entrants,
            lrs,
            trials=trials,
            search=search,
            seeds=seeds,
            final_seeds=final_seeds,
            epochs=self.task.epochs if epochs is None else epochs,
            batch_size=batch_size_of(self.task, batch_size),
        )
        self._by: RankBy | None = None if by is None else checked_rank(by)
        self.executor = find_executor(executor, workers) if isinstance(executor, str) else executor
        self._tie = bound_to_process(self.task, self.plan) if can_fork() else None
        if self._tie is not None and isinstance(self.executor, Local):
            self.executor = Local(1)
        self.command = command
        self.interrupted = False
        self._started = datetime.datetime.now(datetime.UTC)
        with torch.random.fork_rng(devices=[]):
            model = self.task.build()
        self.subject = subject_of(self.task, model, given=target is not None)
        self.folder = None if out is None else folder_of(out, self.task)
        self._measured = MeasuredFile(self._path(MEASURED))
        if fresh:
            self._measured.forget()
        self._targets = TargetFile(self._path(TARGET))
        self.setting, self.stacking, self._keys = self._prepare(model, threads, stack)
        self._ledger = Ledger(self._path(RECORDS), fresh=fresh)
        self._records: dict[str, TrialRecord] = {}
        self._ran: set[str] = set()
        self._planned = 0
        self._wall_seconds: float | None = None
        self._go_through(self._from_disk)
        self.failed = sum(record.status == "failed" for record in self._records.values())
        self.reused = len(self._records) - self.failed

    def run(self, progress: Show | None = None) -> None:
        """Run every trial that is not finished yet, and those that failed before once more.

        Raises:
            OSError: if the records cannot be written, before the first trial. Where a disk fills up
                later, they are kept in memory, and the result says so.
            KeyboardInterrupt: if interrupted; what was finished until then is kept.
        """
        self._ledger.begin()
        self._records.clear()
        self.reused = 0
        watch = Watch(self.plan, progress)
        started = time.monotonic()
        try:
            self._go_through(lambda trials: self._round(trials, watch))
            self._measure_seconds()
        except KeyboardInterrupt:
            self.interrupted = True
            self._ledger.read()  # it may have struck just after a record was written
            self._go_through(self._from_disk)
            raise
        finally:
            self._wall_seconds = round(time.monotonic() - started, 3)
        watch.over()

    @property
    def rank_by(self) -> RankBy:
        """What decides: what the user chose; else steps, or gradients where steps cost several."""
        if self._by is not None:
            return self._by
        alike = all(record.gradients <= record.steps for record in self._records.values())
        return "steps" if alike else "gradients"

    def result(self) -> RaceResult:
        """Return the ranking of what is finished."""
        records = tuple(self._records.values())
        circumstances = Circumstances(
            started=self._started.strftime("%Y-%m-%d %H:%M:%S UTC"),
            seconds=sum(record.seconds for record in records),
            machine=machine_name(),
            threads=self.setting.threads,
            versions=versions(),
            command=self.command,
            reused=self.reused,
            interrupted=self.interrupted,
            wall_seconds=self._wall_seconds,
            executor=self.executor.name,
            stacking=self.stacking.why,
        )
        return RaceResult(
            subject=self.subject,
            plan=self.plan,
            records=records,
            circumstances=circumstances,
            goal=self._goal(),
            found=self._found(),
            remarks=(*self._keys.remarks, *self._of_executor(), *self._ledger.remarks),
            rank_by=self.rank_by,
            steps=self.setting.steps(self.task, self.plan.epochs),
            step_seconds=self._step_seconds(),
            planned=self._planned,
            folder=self.folder,
        )

    def write_report(self) -> Path | None:
        """Write the report and the result as JSON into the folder; return the report's path."""
        if self.folder is None:
            return None
        result = self.result()
        write_text(self.folder / RESULT, result.to_json())
        return result.write_report(self.folder / REPORT)

    # -- rounds ---------------------------------------------------------------------------------------

    def _go_through(
        self, handle: Callable[[tuple[Trial, ...]], Sequence[TrialRecord] | None]
    ) -> None:
        """Go through the rounds until one is not finished; `handle` returns None for such a one."""
        protocol = rounds(self.plan, self._aim, by=self._tuned_by)
        known = 0
        try:
            trials = next(protocol)
            while True:
                known += len(trials)
                final = any(trial.stage == "final" for trial in trials)
                self._planned = self.plan.planned_trials(known, final=final)
                records = handle(trials)
                if records is None:
                    return
                trials = protocol.send(records)
        except StopIteration:
            self._planned = known

    def _from_disk(self, trials: tuple[Trial, ...]) -> Sequence[TrialRecord] | None:
        held = [
            self._held(key, trial)
            for trial in trials
            if self._ledger.holds(key := self._keys.key(trial))
        ]
        return held if len(held) == len(trials) else None

    def _of_executor(self) -> tuple[str, ...]:
        """What kept the trials in this process, in a sentence."""
        if self._tie is None or not isinstance(self.executor, Local):
            return ()
        note = (
            f"The task holds {self._tie}, which no other process can use: the trials ran one after "
            "another, and one that crashes its process ends the race. Make it where it is used, in "
            "the data set's __getitem__ for instance, and they run side by side."
        )
        return (note,)

    def _round(self, trials: tuple[Trial, ...], watch: Watch) -> Sequence[TrialRecord]:
        keyed = tuple((self._keys.key(trial), trial) for trial in trials)
        kept = [self._held(key, trial) for key, trial in keyed if not self._ledger.awaits(key)]
        self.reused += sum(record.key not in self._ran for record in kept)
        watch.kept(kept)
        # Stacks are made of the whole round, so that a race that goes on makes the same ones.
        units = self.stacking.units(keyed, cores_for(self.setting))
        missing = [tuple(one for one in unit if self._ledger.awaits(one[0])) for unit in units]
        todo = [unit for unit in missing if unit]
        waiting = sum(map(len, todo))
        if todo:
            if not self._ran:
                self._ledger.check()
            watch.running(tuple(trial for _, trial in todo[0]), waiting)
        for number, records in enumerate(self.executor.run(self.task, todo, self.setting), start=1):
            self._keep(records)
            watch.ended(records)
            waiting -= len(records)
            if number < len(todo):
                watch.running(tuple(trial for _, trial in todo[number]), waiting)
        return [self._held(key, trial) for key, trial in keyed]

    def _held(self, key: str, trial: Trial) -> TrialRecord:
        self._records.pop(key, None)  # in the order of the round, whichever ended first
        self._records[key] = record = self._ledger.get(key, trial)
        return record

    def _keep(self, records: tuple[TrialRecord, ...]) -> None:
        self._ledger.keep(records)
        for record in records:
            self._records[record.key] = record
            self._ran.add(record.key)

    # -- what is measured -----------------------------------------------------------------------------

    def _prepare(
        self, model: nn.Module, threads: int | None, stack: bool | int | None
    ) -> tuple[Setting, Stacking, Keys]:
        """Find the number of threads, whether to stack, and the keys of the trials."""
        if threads is not None and threads < 1:
            raise TaskError(f"A race needs at least one thread, got threads={threads}.")
        self._parameters = count_parameters(model)
        if threads is None:
            # Several trials at once, on a thread each, are done sooner than one after another.
            small = can_fork() and self._parameters <= LARGEST
            threads = 1 if small else fitting_threads(self._parameters)
        metric, direction = self.subject.metric, self.subject.direction
        setting = Setting(self.plan.batch_size, metric, direction, threads)
        circumstances = {
            "model": self.subject.model,
            "metric": metric,
            "versions": versions(),
            "machine": machine_name(),
        }
        workers = self._processes(setting)
        with torch_threads(threads):
            keys = Keys.of(self.task, self.plan, circumstances)
            stacking = choose_stacking(
                self.task,
                self.plan,
                setting,
                parameters=self._parameters,
                workers=workers,
                wanted=stack,
                measured=self._measured,
                key=keys.common,
            )
        return setting, stacking, replace(keys, threads=threads)

    def _measure_seconds(self) -> None:
        """Measure the seconds of a step of every entrant that has a point, if not done before.

        Where one is missing all are measured, in turns: only such times can be compared.
        """
        points = self._points()
        if self._parameters * len(points) > MOST_PARAMETERS:
            return
        keys = {name: self._seconds_key(*both) for name, both in points.items()}
        if all(is_number(self._measured.get(key)) for key in keys.values()):
            return
        workers, none = self._processes(self.setting), dict[str, float]()
        with torch_threads(self.setting.threads):
            seconds = apart(
                lambda: measure_seconds(self.task, points, self.setting), none, workers=workers
            )
        for name, key in keys.items():
            self._measured.put(key, seconds.get(name, 0.0))  # none, for one that raises

    def _processes(self, setting: Setting) -> int:
        """How many processes of this machine may measure: this one alone where the task is tied to it."""
        return cores_for(setting) if self._tie is None else 1

    def _step_seconds(self) -> dict[str, float]:
        held = {
            name: self._measured.get(self._seconds_key(*both))
            for name, both in self._points().items()
        }
        return {
            name: float(value) for name, value in held.items() if is_number(value) and value > 0
        }

    def _points(self) -> dict[str, tuple[Entrant, Point]]:
        points = chosen_points(self._records.values(), self._names(), self._goal(), self._tuned_by)
        entrants = {entrant.name: entrant for entrant in self.plan.entrants}
        return {name: (entrants[name], point) for name, point in points.items()}

    def _seconds_key(self, entrant: Entrant, point: Point) -> str:
        return f"seconds a step {self._keys.key(Trial(entrant, point, seed=0, epochs=0))}"

    # -- the target -----------------------------------------------------------------------------------

    def _aim(self, tuned: Sequence[TrialRecord]) -> Goal:
        """What decides: the target, or the one that all trials of tuning set."""
        goal = self.subject.goal
        if goal.value is not None or not tuned:
            return goal
        found = self._found()
        if found is None:
            found = find_target(tuned, self._names(), goal, of=self._found_on())
            if found is None:
                return goal
            self._targets.put(found)
        return found.goal

    def _goal(self) -> Goal:
        """What decides, as far as is known now."""
        found = self._found()
        return self.subject.goal if found is None else found.goal

    def _found(self) -> FoundTarget | None:
        if self.subject.target is not None:
            return None
        return self._targets.get(self._found_on())

    def _found_on(self) -> str:
        """A hash of what a target depends on."""
        plan = self.plan
        baselines = baselines_among(self._names())
        entrants = [
            [
                self._keys.of_entrant(entrant),
                list(entrant.lrs),
                {name: space.text for name, space in entrant.search.items()},
            ]
            for entrant in plan.entrants
            if entrant.name in baselines
        ]
        budget = [plan.trials, plan.search, list(plan.tuning_seeds), plan.epochs]
        return hash_of({"task": self._keys.common, "entrants": entrants, "budget": budget})

    @property
    def _tuned_by(self) -> CostUnit:
        """Trials that train together have no seconds of their own: steps stand for them in tuning."""
        return "steps" if self._by in ("steps", "seconds") else "gradients"

    def _names(self) -> list[str]:
        return [entrant.name for entrant in self.plan.entrants]

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / name
