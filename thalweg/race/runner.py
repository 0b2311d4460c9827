"""The race itself: it prepares, runs rounds of trials, and goes on after an interruption."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from thalweg.errors import TaskError
from thalweg.files import write_text
from thalweg.race.aim import Aim
from thalweg.race.arguments import RaceArguments, takes_in_method
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.executors.apart import can_fork
from thalweg.race.executors.forking import bound_to_process
from thalweg.race.executors.local import Local, find_executor
from thalweg.race.executors.machine import cores_for
from thalweg.race.judging.evidence import chosen_points
from thalweg.race.judging.looks import in_question
from thalweg.race.judging.selection import CostUnit
from thalweg.race.judging.target import TargetFile
from thalweg.race.planning import folder_of, make_plan
from thalweg.race.prepare import Prepared, prepare
from thalweg.race.progress import Show, Watch
from thalweg.race.raced_task import raced_task, with_target
from thalweg.race.result import Circumstances, RaceResult
from thalweg.race.rounds import rounds
from thalweg.race.seconds import StepTimes
from thalweg.race.stack_decision import Stacking, check_stack, choose_stacking
from thalweg.race.trials.ledger import Ledger
from thalweg.race.trials.measured import MeasuredFile
from thalweg.race.trials.plan import Trial
from thalweg.race.trials.point import Point
from thalweg.race.trials.ranking import RankBy, checked_rank
from thalweg.race.trials.records import TrialRecord
from thalweg.race.trials.recount import by_rows
from thalweg.tasks import load_task
from thalweg.train.gradients import batch_gradients
from thalweg.train.machine.devices import device_name, is_cpu, usable_device
from thalweg.train.machine.versions import machine_name, versions

RECORDS = "records.jsonl"
MEASURED = "measured.json"
TARGET = "target.json"
RESULT = "race.json"
REPORT = "report.html"


@dataclass(frozen=True)
class _Known:
    """What a race needs to go through its rounds."""

    prepared: Prepared
    ledger: Ledger
    aim: Aim
    step_times: StepTimes


class Race:
    """A race that can be watched, interrupted, and asked for its result at any time.

    Takes the arguments of `race`, checks them, and makes the `plan`; nothing is trained or written
    yet. `run` runs what is not finished yet; `result` sums up what is. Both call `prepare` first,
    which tries a few steps. Then `reused` counts the trials that are kept from before, `failed`
    those that are tried again, and `stacking` says how many train together and why.
    """

    @takes_in_method(RaceArguments)
    def __init__(self, *given: Any, **named: Any) -> None:
        self.arguments = arguments = RaceArguments.of_call(given, named)
        task, by, executor = arguments.task, arguments.by, arguments.executor
        task = load_task(task) if isinstance(task, str) else task
        self.task = with_target(task, arguments.target)
        self.task.data.split("validation")  # raises at once if there is nothing to compare on
        self.plan = make_plan(arguments, self.task)
        self._by: RankBy | None = None if by is None else checked_rank(by)
        self.executor = (
            find_executor(executor, arguments.workers) if isinstance(executor, str) else executor
        )
        self._tie = bound_to_process(self.task, self.plan) if can_fork() else None
        if self._tie is not None and isinstance(self.executor, Local):
            self.executor = Local(1)
        self.device = None if arguments.device is None else usable_device(arguments.device)
        if not is_cpu(self.device):
            self._stay_here(f"device={str(self.device)!r}")
        if arguments.threads is not None and arguments.threads < 1:
            raise TaskError(f"A race needs at least one thread, got threads={arguments.threads}.")
        check_stack(arguments.stack)
        self.subject = raced_task(self.task, given=arguments.target is not None)
        self.folder = folder_of(arguments.out, self.task)
        self.interrupted = False
        self.reused = self.failed = 0
        self.stacking = Stacking(1, "not decided yet")
        self._found: _Known | None = None
        self._records: dict[str, TrialRecord] = {}
        self._ran: set[str] = set()
        self._planned = 0
        self._wall_seconds: float | None = None

    def _stay_here(self, why: str) -> None:
        """Let trials run in this process, which holds the device; refuse what asks for others."""
        if self.arguments.executor == "ray":
            raise TaskError(
                f"The workers of a Ray cluster train on their CPUs, and {why}. Use executor='local'."
            )
        if (self.arguments.workers or 1) > 1:
            raise TaskError(
                f"With {why} trials run one after another, or in stacks, in the one process that holds the "
                f"device; got workers={self.arguments.workers}. Leave workers out."
            )
        if isinstance(self.executor, Local):
            self.executor = Local(1)

    def prepare(self) -> None:
        """Measure what must be known before the first trial, once.

        The model is built, each entrant takes a few steps, whose numbers are part of the keys of
        its trials, and a few steps of a stack show whether stacking pays. Then the records on disk
        are read. `run` and `result` do this by themselves.

        Raises:
            TaskError: for a model, cost or data that cannot be trained, trials that cannot be
                stacked as asked, and files in the folder that cannot be read.
        """
        if self._found is None:
            self._found = self._measure()
            self._go_through(self._from_disk)
            self.failed = sum(record.status == "failed" for record in self._records.values())
            self.reused = len(self._records) - self.failed

    def run(self, progress: Show | None = None) -> None:
        """Run every trial that is not finished yet, and those that failed before once more.

        `progress` is called as that of the arguments would be, in its place.

        Raises:
            OSError: if the records cannot be written, before the first trial. Where a disk fills up
                later, they are kept in memory, and the result says so.
            KeyboardInterrupt: if interrupted; what was finished until then is kept.
            TaskError: as `prepare`.
        """
        self.prepare()
        self._known.ledger.begin()
        self._records.clear()
        self.reused = 0
        watch = Watch(self.plan, progress or self.arguments.progress)
        started = time.monotonic()
        try:
            self._go_through(lambda trials: self._measured(trials, watch))
            self._known.step_times.measure(self._points())
        except KeyboardInterrupt:
            self.interrupted = True
            self._known.ledger.read()  # the last record may be on disk, and not counted yet
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
        if any(entrant.batch_size != "race" for entrant in self.plan.entrants):
            return "gradients"  # steps of other sizes do not compare
        a_step = batch_gradients(self.task, self.plan.batch_size) * (1 + 1e-9)
        alike = all(r.gradients <= a_step * r.steps for r in self._records.values())
        return "steps" if alike else "gradients"

    def result(self) -> RaceResult:
        """Return the ranking of what is finished.

        Raises:
            TaskError: as `prepare`.
        """
        prepared, aim = self._known.prepared, self._known.aim
        records = tuple(self._records.values())
        circumstances = Circumstances(
            started=self._started.strftime("%Y-%m-%d %H:%M:%S UTC"),
            seconds=sum(record.seconds for record in records),
            machine=_machine(prepared.setting.device),
            threads=prepared.setting.threads,
            versions=versions(),
            command=self.arguments.command,
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
            goal=aim.now(),
            found=aim.found(),
            remarks=(*prepared.keys.remarks, *self._of_executor(), *self._known.ledger.remarks),
            rank_by=self.rank_by,
            steps=prepared.setting.steps(self.task, self.plan.epochs),
            gradients=prepared.setting.gradients(self.task, self.plan.epochs),
            own_steps={
                entrant.name: prepared.setting.of(entrant).steps(self.task, self.plan.epochs)
                for entrant in self.plan.entrants
                if entrant.batch_size != "race"
            },
            step_times=self._known.step_times.read(self._points()),
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
        protocol = rounds(self.plan, self._known.aim, self._tuned_by, self._in_question)
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
            if self._known.ledger.holds(key := self._known.prepared.keys.key(trial))
        ]
        return held if len(held) == len(trials) else None

    def _measured(self, trials: tuple[Trial, ...], watch: Watch) -> Sequence[TrialRecord]:
        """Run a round. Where seconds decide, those of a step are measured before the race asks whom the
        final leaves in question.
        """
        records = self._round(trials, watch)
        final = any(trial.stage == "final" for trial in trials)
        if final and self.plan.more_seeds and self.rank_by == "seconds":
            self._known.step_times.measure(self._points())
        return records

    def _in_question(self) -> tuple[str, ...]:
        """The entrants that the final leaves in question."""
        names = [entrant.name for entrant in self.plan.entrants]
        times = self._known.step_times.read(self._points())
        return in_question(
            self._records.values(),
            names,
            self._known.aim.now(),
            self.rank_by,
            {name: time.seconds for name, time in times.items()} or None,
            self.plan.more_seeds,
            step_errors={name: time.error for name, time in times.items()},
        )

    def _of_executor(self) -> tuple[str, ...]:
        """The note on why the trials ran in this process, if they had to."""
        if self._tie is None or not isinstance(self.executor, Local):
            return ()
        note = (
            f"The task holds {self._tie}, which no other process can use: the trials ran one after "
            "another, and one that crashes its process ends the race. Make it where it is used, in "
            "the data set's __getitem__ for instance, and they run side by side."
        )
        return (note,)

    def _round(self, trials: tuple[Trial, ...], watch: Watch) -> Sequence[TrialRecord]:
        # imported when trials run: reading results has no use for it, and it takes a while
        from thalweg.race.stack.run import run_unit

        prepared, ledger = self._known.prepared, self._known.ledger
        keyed = tuple((prepared.keys.key(trial), trial) for trial in trials)
        kept = [self._held(key, trial) for key, trial in keyed if not ledger.awaits(key)]
        self.reused += sum(record.key not in self._ran for record in kept)
        watch.kept(kept)
        # Stacks are made of the whole round, so that a race that goes on makes the same ones.
        threads, device = prepared.setting.threads, prepared.setting.device
        units = self.stacking.units(keyed, cores_for(threads) if is_cpu(device) else 1)
        missing = [tuple(one for one in unit if ledger.awaits(one[0])) for unit in units]
        todo = [unit for unit in missing if unit]
        waiting = sum(map(len, todo))
        if todo:
            if not self._ran:
                ledger.check()
            watch.running(tuple(trial for _, trial in todo[0]), waiting)
        ended = self.executor.run(self.task, todo, prepared.setting, run_unit)
        for number, records in enumerate(ended, start=1):
            self._keep(records)
            watch.ended(records)
            waiting -= len(records)
            if number < len(todo):
                watch.running(tuple(trial for _, trial in todo[number]), waiting)
        return [self._held(key, trial) for key, trial in keyed]

    def _held(self, key: str, trial: Trial) -> TrialRecord:
        self._records.pop(key, None)  # so that records are in the order of the round
        record = self._known.ledger.get(key, trial)
        record = by_rows(record, self.task, trial, self._known.prepared.setting)
        self._records[key] = record
        return record

    def _keep(self, records: tuple[TrialRecord, ...]) -> None:
        self._known.ledger.keep(records)
        for record in records:
            self._records[record.key] = record
            self._ran.add(record.key)

    # -- preparation -----------------------------------------------------------------------------------

    @property
    def _known(self) -> _Known:
        self.prepare()
        assert self._found is not None
        return self._found

    def _measure(self) -> _Known:
        self._started = datetime.datetime.now(datetime.UTC)
        measured = MeasuredFile(self._path(MEASURED))
        if self.arguments.fresh:
            measured.forget()
        prepared = prepare(
            self.task,
            self.plan,
            self.subject,
            threads=self.arguments.threads,
            tied=self._tie is not None,
            device=self.device,
        )
        if not is_cpu(prepared.setting.device):
            self._stay_here(f"the task builds its model on {prepared.setting.device}")
        self.subject = replace(self.subject, model=prepared.model)
        self.stacking = choose_stacking(
            self.task, self.plan, prepared, measured, wanted=self.arguments.stack
        )
        return _Known(
            prepared,
            Ledger(self._path(RECORDS), fresh=self.arguments.fresh),
            Aim(self.plan, self.subject, prepared.keys, TargetFile(self._path(TARGET))),
            StepTimes(self.task, prepared, measured),
        )

    def _points(self) -> dict[str, tuple[Entrant, Point]]:
        """Return the entrants that have a point, each with the one that was chosen."""
        entrants = {entrant.name: entrant for entrant in self.plan.entrants}
        goal = self._known.aim.now()
        points = chosen_points(self._records.values(), list(entrants), goal, self._tuned_by)
        return {name: (entrants[name], point) for name, point in points.items()}

    @property
    def _tuned_by(self) -> CostUnit:
        """Trials that train together have no seconds of their own: steps stand for them in tuning."""
        return "steps" if self._by in ("steps", "seconds") else "gradients"

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / name


def _machine(device: torch.device | None) -> str:
    """Return what trains, in words: the processor, and the device beside it."""
    return (
        machine_name()
        if device is None or is_cpu(device)
        else f"{device_name(device)}; {machine_name()}"
    )
