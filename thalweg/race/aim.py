"""What decides a race: the target that was given, or the one that the race sets after tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.hashing import hash_of
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.target import (
    FoundTarget,
    TargetFile,
    baselines_among,
    find_setter,
    find_target,
)
from thalweg.race.raced_task import RacedTask
from thalweg.race.trials.keys import Keys
from thalweg.race.trials.plan import RacePlan, Trial
from thalweg.race.trials.records import TrialRecord


@dataclass(frozen=True)
class Aim:
    """The target of a race, and where it is kept if the race sets it."""

    plan: RacePlan
    subject: RacedTask
    keys: Keys
    targets: TargetFile

    def before(self) -> Goal:
        """Return what is known of the target before the race."""
        return self.subject.goal

    def setters(self, tuned: Sequence[TrialRecord]) -> tuple[Trial, ...]:
        """Return the trials that set the target, given all trials of tuning: the best baseline at its
        best point, on seeds of their own.

        None where there is a target already, or one that an earlier version found in tuning.
        """
        found = self.found()
        if self.subject.goal.value is not None or (found and found.rule == "median of tuning"):
            return ()
        setter = find_setter(tuned, self._names(), self.subject.goal)
        if setter is None:
            return ()
        name, point = setter
        (entrant,) = (one for one in self.plan.entrants if one.name == name)
        return tuple(
            Trial(entrant, point, seed, self.plan.epochs, "target")
            for seed in self.plan.target_seeds
        )

    def after(self, setting: Sequence[TrialRecord]) -> Goal:
        """Return the target, given the trials that set it."""
        goal = self.subject.goal
        if goal.value is not None:
            return goal
        found = self.found()
        if found is None:
            found = find_target(setting, self._names(), goal, of=self._hash())
            if found is None:
                return goal
            self.targets.put(found)
        return found.goal

    def now(self) -> Goal:
        """Return the target as far as it is known now."""
        found = self.found()
        return self.subject.goal if found is None else found.goal

    def found(self) -> FoundTarget | None:
        """Return the target that the race has set, None where none was needed or is known yet."""
        if self.subject.target is not None:
            return None
        return self.targets.get(self._hash())

    def _names(self) -> list[str]:
        return [entrant.name for entrant in self.plan.entrants]

    def _hash(self) -> str:
        """A hash of what a target depends on."""
        plan = self.plan
        baselines = baselines_among(entrant.name for entrant in plan.entrants)
        entrants = [
            [
                self.keys.of_entrant(entrant),
                list(entrant.lrs),
                {name: space.text for name, space in entrant.search.items()},
            ]
            for entrant in plan.entrants
            if entrant.name in baselines
        ]
        budget = [plan.trials, plan.search, list(plan.tuning_seeds), plan.epochs]
        return hash_of({"task": self.keys.common, "entrants": entrants, "budget": budget})
