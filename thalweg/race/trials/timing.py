"""Seconds a step of each entrant, measured alone, with the others in turn.

The time of a trial says little: machines are shared, and trials that train together have no time of
their own. So the entrants take turns, and the median over the turns counts: whatever slows the machine for
a while slows all of them alike. How far the turns of an entrant lie apart says how much its time may be
worth on another occasion; so all of them are kept.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from thalweg.errors import DataError
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.trials.plan import Setting, rotated
from thalweg.race.trials.point import Point
from thalweg.race.trials.recipe import optimizing
from thalweg.race.trials.records import FAULTS
from thalweg.race.trials.step_time import StepTime
from thalweg.tasks import Task
from thalweg.tasks.sources.batches import Order
from thalweg.train.machine.devices import synchronize
from thalweg.train.recipe import Recipe
from thalweg.train.restored.randomness import isolated, seed_noise, seed_weights
from thalweg.train.running.begin import begin
from thalweg.train.running.state import State

MOST_PARAMETERS = 50_000_000
"""Of all models together: they are in memory at the same time, with gradients and states a gigabyte.
Larger ones are timed by their trials, which ran alone and in turns."""
_TURNS = 11
"""So many that the spread between them is known: to a quarter of itself."""
_SECONDS_A_TURN = 0.025
"""Several time slices of a busy machine: shorter turns scatter by which of them the machine took away."""
_MOST_STEPS = 500
_LEAST_SECONDS = 1e-9
"""A coarse clock may measure no time at all, and the spread is that of logarithms."""


@dataclass
class _TimedTraining:
    """A training that can go on for some steps."""

    state: State
    batches: Iterator[Any]

    @classmethod
    def of(cls, task: Task, entrant: Entrant, point: Point, setting: Setting) -> _TimedTraining:
        setting = setting.of(entrant)
        recipe = Recipe(
            entrant.task(task),
            **optimizing(entrant, point, _MOST_STEPS * _TURNS * 10),
            batch_size=setting.batch_size,
            device=setting.device,
        )
        seed_weights(0, torch.device("cpu"))
        state = begin(recipe, setting.device)
        state.model.train()
        return cls(state, _endless(state, setting.batch_size))

    def run(self, steps: int) -> _Turn:
        """Take steps, and return the seconds that one took."""
        step, device = self.state.training_step(), self.state.place.device
        synchronize(device)
        started, cpu = time.perf_counter(), time.process_time()
        for inputs, targets in itertools.islice(self.batches, steps):
            step.take(inputs, targets)
        synchronize(device)  # the last step of the optimizer is under way
        worked, passed = time.process_time() - cpu, time.perf_counter() - started
        return _Turn(max(passed / steps, _LEAST_SECONDS), passed, min(worked, passed))


@dataclass(frozen=True)
class _Turn:
    """The seconds of a step, those of the whole turn, and for how many of them a processor worked."""

    step: float
    passed: float
    worked: float


def _endless(state: State, batch_size: int | None) -> Iterator[Any]:
    """The batches of epoch after epoch; raises for data that can be run through only once."""
    order = Order(0)
    for epoch in itertools.count(1):
        taken = 0
        for taken, batch in enumerate(  # noqa: B007 - how many there were
            state.train.batches(batch_size, order, epoch, state.place), start=1
        ):
            yield batch
        if not taken:
            raise DataError("The training set yields no batch.")


def measure_seconds(
    task: Task, points: Mapping[str, tuple[Entrant, Point]], setting: Setting
) -> dict[str, StepTime]:
    """Return the seconds that a training step takes with each entrant at its point, turn by turn.

    An entrant whose steps raise has no time, and is left out. The global random state is left as it
    was.
    """
    with isolated(torch.device("cpu")):
        runners: dict[str, _TimedTraining] = {}
        steps: dict[str, int] = {}
        for name, (entrant, point) in points.items():
            try:
                runner = _TimedTraining.of(task, entrant, point, setting)
                seed_noise(0, 1, torch.device("cpu"))
                runner.run(2)  # the first step compiles
                one = runner.run(1).step
            except FAULTS:
                continue
            runners[name] = runner
            steps[name] = max(1, min(_MOST_STEPS, round(_SECONDS_A_TURN / max(one, 1e-6))))
        turns: dict[str, list[_Turn]] = {name: [] for name in runners}
        for number in range(_TURNS):
            for name in rotated(list(runners), number):
                try:
                    turns[name].append(runners[name].run(steps[name]))
                except FAULTS:  # it takes more steps here than in a trial, and may blow up
                    del runners[name], turns[name]
        return {name: _together(taken) for name, taken in turns.items()}


def _together(turns: list[_Turn]) -> StepTime:
    passed = sum(turn.passed for turn in turns)
    busy = round(sum(turn.worked for turn in turns) / passed, 3) if passed > 0 else None
    return StepTime(tuple(turn.step for turn in turns), busy)
