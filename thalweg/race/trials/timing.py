"""Seconds a step of each entrant, measured alone, with the others in turn.

The time of a trial says little: machines are shared, and trials that train together have no time of
their own. So the entrants take short turns, and the median over the turns counts: whatever slows the
machine for a while slows all of them alike.
"""

from __future__ import annotations

import itertools
import statistics
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
from thalweg.tasks import Task
from thalweg.tasks.batches import Order
from thalweg.train.randomness import isolated, seed_noise, seed_weights
from thalweg.train.recipe import Recipe
from thalweg.train.running.begin import begin
from thalweg.train.running.state import State

MOST_PARAMETERS = 50_000_000
"""Of all models together: they are in memory at the same time, with gradients and states a gigabyte.
Larger ones are timed by their trials, which ran alone and in turns."""
_TURNS = 7
_SECONDS_A_TURN = 0.01
_MOST_STEPS = 200


@dataclass
class _Runner:
    """A training that can go on for some steps."""

    state: State
    batches: Iterator[Any]

    @classmethod
    def of(cls, task: Task, entrant: Entrant, point: Point, setting: Setting) -> _Runner:
        setting = setting.of(entrant)
        recipe = Recipe(
            entrant.task(task),
            **optimizing(entrant, point, _MOST_STEPS * _TURNS * 10),
            batch_size=setting.batch_size,
        )
        seed_weights(0, torch.device("cpu"))
        state = begin(recipe, None)
        state.model.train()
        return cls(state, _endless(state, setting.batch_size))

    def run(self, steps: int) -> float:
        """Take steps, and return the seconds that one took."""
        step = self.state.training_step()
        started = time.perf_counter()
        for inputs, targets in itertools.islice(self.batches, steps):
            step.take(inputs, targets)
        return (time.perf_counter() - started) / steps


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
) -> dict[str, float]:
    """Return the median seconds that a training step takes with each entrant at its point.

    An entrant whose steps raise has no time, and is left out. The global random state is left as it
    was.
    """
    with isolated(torch.device("cpu")):
        runners: dict[str, _Runner] = {}
        steps: dict[str, int] = {}
        for name, (entrant, point) in points.items():
            try:
                runner = _Runner.of(task, entrant, point, setting)
                seed_noise(0, 1, torch.device("cpu"))
                runner.run(2)  # the first step compiles
                one = runner.run(1)
            except FAULTS:
                continue
            runners[name] = runner
            steps[name] = max(1, min(_MOST_STEPS, round(_SECONDS_A_TURN / max(one, 1e-6))))
        turns: dict[str, list[float]] = {name: [] for name in runners}
        for turn in range(_TURNS):
            for name in rotated(list(runners), turn):
                try:
                    turns[name].append(runners[name].run(steps[name]))
                except FAULTS:  # it takes more steps here than in a trial, and may blow up
                    del runners[name], turns[name]
        return {name: statistics.median(times) for name, times in turns.items()}
