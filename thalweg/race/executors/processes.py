"""Worker processes of this machine: several units of a race at once, each on a core of its own.

Workers are forked when a round begins, so they have the task, the data and the compiled kernels
already, and nothing of it travels; records come back through pipes. A worker that dies, because the
system ran out of memory or the trial crashed the interpreter, costs its unit alone: the trials of a
stack are tried again one by one, and a trial that kills its worker has failed.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import cast

from thalweg.errors import EngineError
from thalweg.race.executors.apart import forked
from thalweg.race.executors.executor import RunUnit
from thalweg.race.executors.forking import let_go, own_positions
from thalweg.race.trials.plan import Setting, Unit
from thalweg.race.trials.records import FAULTS, TrialRecord
from thalweg.tasks import Task
from thalweg.train.machine.threads import torch_threads

_PR_SET_PDEATHSIG = 1


def run_on_workers(
    task: Task, units: Sequence[Unit], setting: Setting, run_unit: RunUnit, *, workers: int
) -> Iterator[tuple[TrialRecord, ...]]:
    """Yield the records of each unit when it has ended, with so many of them running at once.

    Raises:
        EngineError: for an error in a worker that is not a trial's own.
        KeyboardInterrupt: if interrupted; the workers are ended.
    """
    floor = _Floor(task, tuple(one for unit in units for one in unit), setting, run_unit)
    let_go(task, units)
    waiting = floor.jobs(units)
    crew: dict[Connection, _Worker] = {}
    try:
        while waiting or crew:
            while waiting and len(crew) < workers:
                worker = _Worker.hired(floor, list(crew))
                crew[worker.line] = worker
                worker.give(waiting.pop())
            for line in wait(list(crew)):
                worker = crew[cast(Connection, line)]
                records = worker.take()
                if records is None:
                    del crew[worker.line]
                    records = floor.after_loss(worker, waiting)
                elif waiting:
                    worker.give(waiting.pop())
                else:
                    del crew[worker.line]
                    worker.dismiss()
                if records:
                    yield records
    except KeyboardInterrupt:
        yield from _ended(crew)
        raise
    finally:
        for worker in crew.values():
            worker.process.kill()
        for worker in crew.values():
            worker.process.join()


def _ended(crew: Mapping[Connection, _Worker]) -> Iterator[tuple[TrialRecord, ...]]:
    """Yield the records that have arrived and were not read yet."""
    for line in wait(list(crew), timeout=0):
        with suppress(EngineError):
            if records := crew[cast(Connection, line)].take():
                yield records


Job = tuple[int, ...]
"""The numbers of the trials of a unit: a worker has the trials already."""


@dataclass(frozen=True)
class _Floor:
    """What a worker inherits when it is forked."""

    task: Task
    trials: Unit
    setting: Setting
    run_unit: RunUnit

    def jobs(self, units: Sequence[Unit]) -> list[Job]:
        """Return the units as jobs, the first one last."""
        jobs, first = [], 0
        for unit in units:
            jobs.append(tuple(range(first, first + len(unit))))
            first += len(unit)
        return jobs[::-1]

    def run(self, job: Job) -> tuple[TrialRecord, ...]:
        """Run a job in this process."""
        with torch_threads(self.setting.threads):
            return self.run_unit(self.task, tuple(self.trials[k] for k in job), self.setting)

    def after_loss(self, worker: _Worker, waiting: list[Job]) -> tuple[TrialRecord, ...]:
        """Return the records of a job whose worker died.

        A single trial has failed. A stack gives none: its trials are queued to run one by one.
        """
        what_happened = worker.loss()
        if len(worker.job) > 1:
            waiting.extend((k,) for k in reversed(worker.job))
            return ()
        key, trial = self.trials[worker.job[0]]
        return (trial.blank_record(key, "failed", what_happened),)


@dataclass
class _Worker:
    """A process that runs jobs, and the pipe to it."""

    process: BaseProcess
    line: Connection
    job: Job = ()

    @classmethod
    def hired(cls, floor: _Floor, others: Sequence[Connection]) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        process = forked(_work, floor, theirs, [ours, *others], os.getpid())
        theirs.close()
        return cls(process, ours)

    def give(self, job: Job) -> None:
        """Send the worker a job."""
        self.job = job
        with suppress(BrokenPipeError):  # it has died, as `take` will see
            self.line.send(job)

    def take(self) -> tuple[TrialRecord, ...] | None:
        """Return the records that have come, None if the worker has died."""
        try:
            answer = self.line.recv()
        except (EOFError, ConnectionResetError):
            return None
        if isinstance(answer, str):
            raise EngineError(answer)
        records: tuple[TrialRecord, ...] = answer
        return records

    def loss(self) -> str:
        """Say how a worker died."""
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"The trial ended its process, with exit code {code}."
        name = signal.Signals(-code).name
        hint = ", as the system does when it runs out of memory" if name == "SIGKILL" else ""
        return f"The trial's process was ended by {name}{hint}."

    def dismiss(self) -> None:
        """End the worker, which has no job."""
        self.line.close()
        self.process.join()


def _work(floor: _Floor, line: Connection, of_others: Sequence[Connection], parent: int) -> None:
    """Run jobs until the parent closes the pipe: the main function of a worker."""
    for other in of_others:
        other.close()  # else a worker would not notice that its parent is gone
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    _end_with(parent)
    own_positions()
    gc.freeze()  # objects from before the fork stay: collecting them each time takes time
    while True:
        try:
            job: Job = line.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            line.send(floor.run(job))
        except BrokenPipeError:
            return
        except FAULTS as error:
            line.send(f"A worker of the race failed: {type(error).__name__}: {error}")


def _end_with(parent: int) -> None:
    """Ask the system to kill this process when its parent dies, even in the middle of a trial."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
