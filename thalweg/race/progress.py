"""Progress of a race, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from thalweg.race.trials.plan import RacePlan, Trial
from thalweg.race.trials.records import TrialRecord


@dataclass(frozen=True)
class RaceProgress:
    """How far a race has got.

    `done` counts the trials that are finished, those that were on disk before included, and
    `planned` all of them, as far as is known. `share` is that of the work, from 0 to 1. `running`
    is what trains now, empty after the last.
    """

    done: int
    planned: int
    share: float
    running: tuple[Trial, ...]
    seconds_left: float | None


Show = Callable[[RaceProgress], None]


class Watch:
    """Counts the trials that are done, and calls the function that shows progress.

    Work is counted in epochs of training, since a search by halving runs trials of several lengths.
    """

    def __init__(self, plan: RacePlan, show: Show | None, kept: Iterable[TrialRecord] = ()) -> None:
        self._show = show or (lambda _: None)
        self._planned = plan.planned_trials(0, final=False)
        self._length, self._final = plan.epochs, plan.final_trials
        self._whole = float(plan.epochs * self._planned)
        self._done = 0
        self._epochs = self._before = 0.0
        self.kept(kept)
        self._started = time.monotonic()

    def kept(self, records: Iterable[TrialRecord]) -> None:
        """Count trials that were on disk before: they take no time now."""
        for record in records:
            self._done += 1
            self._epochs += record.epochs
            self._before += record.epochs

    def running(self, trials: tuple[Trial, ...], waiting: int) -> None:
        """Say what trains now; `waiting` trials of the round are not done yet."""
        if trials[0].stage in ("runoff", "final"):  # nobody knew before how many there would be
            waiting += self._final if trials[0].stage == "runoff" else 0
            self._whole = max(self._whole, self._epochs + waiting * self._length)
        self._planned = max(self._planned, self._done + waiting)
        self._tell(trials)

    def ended(self, records: Iterable[TrialRecord]) -> None:
        """Count trials that have ended."""
        for record in records:
            self._done += 1
            self._epochs += record.epochs

    def over(self) -> None:
        """Say that everything is done."""
        self._planned, self._epochs = self._done, self._whole
        self._tell(())

    def _tell(self, running: tuple[Trial, ...]) -> None:
        share = min(1.0, self._epochs / self._whole)
        fresh = self._epochs - self._before
        spent = time.monotonic() - self._started
        left = spent / fresh * max(0.0, self._whole - self._epochs) if fresh > 0 else None
        self._show(RaceProgress(self._done, self._planned, share, running, left))
