"""What decides a race: the target that was given, or the one that its tuning sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.hashing import hash_of
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.target import (
    FoundTarget,
    TargetFile,
    baselines_among,
    find_target,
)
from thalweg.race.raced_task import RacedTask
from thalweg.race.trials.keys import Keys
from thalweg.race.trials.plan import RacePlan
from thalweg.race.trials.records import TrialRecord


@dataclass(frozen=True)
class Aim:
    """The target of a race, and where it is kept if tuning sets it."""

    plan: RacePlan
    subject: RacedTask
    keys: Keys
    targets: TargetFile

    def after(self, tuned: Sequence[TrialRecord]) -> Goal:
        """Return the target, given all trials of tuning: without one, these set it.

        Without any trial it is what is known before the race.
        """
        goal = self.subject.goal
        if goal.value is not None or not tuned:
            return goal
        found = self.found()
        if found is None:
            names = [entrant.name for entrant in self.plan.entrants]
            found = find_target(tuned, names, goal, of=self._hash())
            if found is None:
                return goal
            self.targets.put(found)
        return found.goal

    def now(self) -> Goal:
        """Return the target as far as it is known now."""
        found = self.found()
        return self.subject.goal if found is None else found.goal

    def found(self) -> FoundTarget | None:
        """Return the target that tuning has set, None where none was needed or is known yet."""
        if self.subject.target is not None:
            return None
        return self.targets.get(self._hash())

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
