"""Seconds a step of each entrant at its chosen point, measured once and kept beside the records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.executors.apart import apart
from thalweg.race.prepare import Prepared
from thalweg.race.trials.measured import MeasuredFile
from thalweg.race.trials.plan import Trial
from thalweg.race.trials.point import Point
from thalweg.race.trials.timing import MOST_PARAMETERS, measure_seconds
from thalweg.reading import is_number
from thalweg.tasks import Task
from thalweg.train.threads import torch_threads

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

        Where one is missing all are measured, in turns: only such times can be compared.
        """
        if self.prepared.parameters * len(points) > MOST_PARAMETERS:
            return
        keys = {name: self._key(*both) for name, both in points.items()}
        if all(is_number(self.measured.get(key)) for key in keys.values()):
            return
        setting, none = self.prepared.setting, dict[str, float]()
        with torch_threads(setting.threads):
            seconds = apart(
                lambda: measure_seconds(self.task, points, setting),
                none,
                workers=self.prepared.workers,
            )
        for name, key in keys.items():
            self.measured.put(key, seconds.get(name, 0.0))  # 0 for one that raises

    def read(self, points: TimedPoints) -> dict[str, float]:
        """Return the seconds of a step of each entrant that has been measured at its point."""
        held = {name: self.measured.get(self._key(*both)) for name, both in points.items()}
        return {
            name: float(value) for name, value in held.items() if is_number(value) and value > 0
        }

    def _key(self, entrant: Entrant, point: Point) -> str:
        return f"seconds a step {self.prepared.keys.key(Trial(entrant, point, seed=0, epochs=0))}"
