"""This machine as an executor, and the executor of a name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from thalweg.errors import TaskError, suggest
from thalweg.race.executors.apart import can_fork
from thalweg.race.executors.executor import Executor, RunUnit
from thalweg.race.executors.machine import cores_for
from thalweg.race.executors.processes import run_on_workers
from thalweg.race.trials.plan import Setting, Unit, whole
from thalweg.race.trials.records import TrialRecord
from thalweg.tasks import Task
from thalweg.train.machine.threads import torch_threads

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Local:
    """This machine: as many units at once as there are cores for them.

    `workers` None is as many as torch would use threads. They are processes of their own, so that a
    trial that crashes its process costs the race nothing; 1 is this process itself, as for trials on
    several threads.
    """

    workers: int | None = None
    name: str = field(default="local", init=False)

    def run(
        self, task: Task, units: Sequence[Unit], setting: Setting, run_unit: RunUnit
    ) -> Iterator[tuple[TrialRecord, ...]]:
        """Yield the records of each unit when it has ended."""
        # Threads of OpenMP cannot be used in a fork of a process that has used them.
        workers = self.workers or cores_for(setting.threads)
        if workers > 1 and setting.threads == 1 and can_fork():
            yield from run_on_workers(
                task, units, setting, run_unit, workers=min(len(units), workers)
            )
            return
        for unit in units:
            with torch_threads(setting.threads):
                records = run_unit(task, unit, setting)
            yield records


def find_executor(name: str, workers: int | None = None) -> Executor:
    """Return the executor of a name.

    Raises:
        TaskError: for a name that no executor has.
        MissingExtraError: if its package is not installed.
    """
    if name == "local":
        if workers is not None:
            workers = whole("workers", workers)
            if workers < 1:
                raise TaskError(f"A race needs at least one worker, got workers={workers}.")
        return Local(workers)
    if name == "ray":
        from thalweg.race.executors.ray_cluster import Ray  # an extra

        return Ray()
    hint = suggest(name, EXECUTORS) or f" Known are: {', '.join(EXECUTORS)}."
    raise TaskError(f"No executor is called {name!r}.{hint}")
