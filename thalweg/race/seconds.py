"""Seconds a step of each entrant at its chosen point, measured once and kept beside the records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.executors.apart import apart
from thalweg.race.prepare import Prepared
from thalweg.race.trials.measured import MeasuredFile
from thalweg.race.trials.plan import Trial
from thalweg.race.trials.point import Point
from thalweg.race.trials.step_time import StepTime
from thalweg.race.trials.timing import MOST_PARAMETERS, measure_seconds
from thalweg.reading import is_number
from thalweg.tasks import Task
from thalweg.train.machine.threads import torch_threads

_RAISED = 0.0
"""What stands for the measurement of an entrant whose steps raise."""

TimedPoints = Mapping[str, tuple[Entrant, Point]]
"""The entrants by name, each with its chosen point."""


@dataclass(frozen=True)
class StepTimes:
    """Measures the seconds of a step, and reads what was measured."""

    task: Task
    prepared: Prepared
    measured: MeasuredFile

    def measure(self, points: TimedPoints) -> None:
        """Measure the seconds of a step of each entrant at its point, if not done before.

        Where one is missing all are measured, in turns: only such times can be compared. So are those
        that an earlier version measured, which kept no turns.
        """
        if self.prepared.parameters * len(points) > MOST_PARAMETERS:
            return
        keys = {name: self._key(*both) for name, both in points.items()}
        if all(_is_complete(self.measured.get(key)) for key in keys.values()):
            return
        setting, none = self.prepared.setting, dict[str, StepTime]()
        with torch_threads(setting.threads):
            times = apart(
                lambda: measure_seconds(self.task, points, setting),
                none,
                workers=self.prepared.workers,
            )
        for name, key in keys.items():
            self.measured.put(key, times[name].written() if name in times else _RAISED)

    def read(self, points: TimedPoints) -> dict[str, StepTime]:
        """Return the seconds of a step of each entrant that has been measured at its point."""
        held = {name: StepTime.read(self.measured.get(self._key(*b))) for name, b in points.items()}
        return {name: time for name, time in held.items() if time is not None}

    def _key(self, entrant: Entrant, point: Point) -> str:
        return f"seconds a step {self.prepared.keys.key(Trial(entrant, point, seed=0, epochs=0))}"


def _is_complete(value: Any) -> bool:
    """Whether a measurement has turns, or is that of an entrant that raises."""
    if is_number(value):
        return value == _RAISED
    return StepTime.read(value) is not None
