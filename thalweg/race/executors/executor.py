"""What an executor is: where the units of a race run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from thalweg.race.trials.plan import Setting, Unit
from thalweg.race.trials.records import TrialRecord
from thalweg.tasks import Task

RunUnit = Callable[[Task, Unit, Setting], tuple[TrialRecord, ...]]
"""Trains a unit, one trial or a stack, and returns the records in its order."""


class Executor(Protocol):
    """Runs units, in any order, and hands over their records as they end."""

    @property
    def name(self) -> str:
        """What the executor is called."""
        ...

    def run(
        self, task: Task, units: Sequence[Unit], setting: Setting, run_unit: RunUnit
    ) -> Iterator[tuple[TrialRecord, ...]]:
        """Yield the records of each unit when it has ended.

        Args:
            task: what is trained on.
            units: the trials that train together, with their keys.
            setting: what they have in common.
            run_unit: trains a unit; it is a function of a module, so that any process can have it.
        """
        ...
