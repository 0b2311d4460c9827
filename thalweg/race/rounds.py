"""The protocol of a race: rounds of trials, each made of what the ones before gave.

Tuning asks each entrant's search for points and tells it how they did, until every entrant has
spent the same budget. Where there is no target yet, a round sets one. Points of an entrant that are
close run again on more seeds, which choose among them: the runoff. The final runs each entrant's
best point on seeds that chose nothing and set nothing; and again, on more seeds, the entrants that
it left in question. What happens between the rounds depends on the
records alone, so a race that was stopped goes through the same rounds again, and finds most of their
trials on disk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Generator, Sequence
from typing import Protocol

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.selection import CostUnit, close_points, score, select
from thalweg.race.search import Ask, Score, Search, make_search
from thalweg.race.trials.plan import RacePlan, Trial, fair_order, rotated
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import TrialRecord

Rounds = Generator[tuple[Trial, ...], Sequence[TrialRecord], None]
"""Yields the trials of a round; is sent their records, in the same order."""


class Aiming(Protocol):
    """What decides a race, and how it comes about: `thalweg.race.aim.Aim`."""

    def before(self) -> Goal:
        """Return what is known of the target before the race."""

    def setters(self, tuned: Sequence[TrialRecord]) -> tuple[Trial, ...]:
        """Return the trials that set the target, given those of tuning; none where it is known."""

    def after(self, setting: Sequence[TrialRecord]) -> Goal:
        """Return the target, given the trials that set it."""


InQuestion = Callable[[], Collection[str]]
"""Names the entrants that the records until now, those of the final the last, leave in question."""

_Asked = dict[str, tuple[Entrant, tuple[Ask, ...]]]


def rounds(
    plan: RacePlan,
    aim: Aiming,
    by: CostUnit = "steps",
    in_question: InQuestion = tuple,
) -> Rounds:
    """Yield the rounds of a race: those of tuning, one that sets the target if need be, the runoff of
    close points, the final, and more seeds for those whom it leaves in question.
    """
    searches: dict[str, Search] = {
        entrant.name: make_search(
            plan.search, entrant, trials=plan.trials, epochs=plan.epochs, seed=0
        )
        for entrant in plan.entrants
    }
    goal, tuned = aim.before(), list[TrialRecord]()
    while asked := _asked(plan, searches):
        trials = tuple(_tuning_trials(plan, asked))
        records = yield trials
        _tell(searches, asked, trials, records, functools.partial(score, goal=goal, by=by))
        tuned.extend(records)
    setters = aim.setters(tuned)
    goal = aim.after((yield setters) if setters else ())
    if close := _close(plan, tuned, goal, by):
        tuned.extend((yield tuple(_runoff_trials(plan, close))))
    chosen = _chosen(plan, tuned, goal, by)
    yield tuple(_final_trials(plan, chosen, plan.final_seeds))
    if plan.more_seeds:
        names = in_question()
        again = [one for one in chosen if one[0].name in names]
        if len(again) > 1:
            yield tuple(_final_trials(plan, again, plan.more_seeds))


def _asked(plan: RacePlan, searches: dict[str, Search]) -> _Asked:
    """The points that each search asks for next; empty when all have spent their budget."""
    return {
        entrant.name: (entrant, tuple(asks))
        for entrant in plan.entrants
        if (asks := searches[entrant.name].ask())
    }


def _tuning_trials(plan: RacePlan, asked: _Asked) -> Generator[Trial, None, None]:
    # The outer loop is over seeds, so that a race that is stopped early has tried everyone.
    epochs = {(name, ask.point): ask.epochs for name, (_, asks) in asked.items() for ask in asks}
    points = [(entrant, tuple(ask.point for ask in asks)) for entrant, asks in asked.values()]
    for seed in plan.tuning_seeds:
        for entrant, point in fair_order(points):
            yield Trial(entrant, point, seed, epochs[entrant.name, point], "tuning")


def _tell(
    searches: dict[str, Search],
    asked: _Asked,
    trials: Sequence[Trial],
    records: Sequence[TrialRecord],
    how_well: Callable[[list[TrialRecord]], Score],
) -> None:
    of_point: dict[tuple[str, Point], list[TrialRecord]] = {}
    for trial, record in zip(trials, records, strict=True):
        of_point.setdefault((trial.entrant.name, trial.point), []).append(record)
    for name, (_, asks) in asked.items():
        searches[name].tell([how_well(of_point[name, ask.point]) for ask in asks])


def _chosen(
    plan: RacePlan, tuned: Sequence[TrialRecord], goal: Goal, by: CostUnit
) -> list[tuple[Entrant, Point]]:
    """The point of each entrant for the final; an entrant that lost every trial has none."""
    chosen = []
    for entrant in plan.entrants:
        own = [record for record in tuned if record.entrant == entrant.name]
        point = select(own, goal, by)
        if point is not None and any(record.status == "finished" for record in own):
            chosen.append((entrant, point))
    return chosen


def _close(
    plan: RacePlan, tuned: Sequence[TrialRecord], goal: Goal, by: CostUnit
) -> list[tuple[Entrant, tuple[Point, ...]]]:
    """The entrants that have close points, with them; none where there are no seeds for a runoff."""
    found = []
    for entrant in plan.entrants if plan.runoff_seeds else ():
        own = (record for record in tuned if record.entrant == entrant.name)
        if points := close_points(own, goal, by):
            found.append((entrant, points))
    return found


def _runoff_trials(
    plan: RacePlan, close: Sequence[tuple[Entrant, tuple[Point, ...]]]
) -> Generator[Trial, None, None]:
    for seed in plan.runoff_seeds:
        for entrant, point in fair_order(close):
            yield Trial(entrant, point, seed, plan.epochs, "runoff")


def _final_trials(
    plan: RacePlan, chosen: Sequence[tuple[Entrant, Point]], seeds: Sequence[int]
) -> Generator[Trial, None, None]:
    for turn, seed in enumerate(seeds):
        for entrant, point in rotated(chosen, turn):
            yield Trial(entrant, point, seed, plan.epochs, "final")
