"""The results of a race, from its records.

    point of an entrant     the best score of its tuning: median cost to the target, a miss = ∞; then
                            the share of seeds that missed; then the median final figure. Of points
                            that were close and ran again, the best mean over all their seeds
    order, claims, best     by the trials of that point on the final seeds, paired: means of scores,
                            sign flips for all pairs at once, the set of those that may be the best
    nobody reaches it       (or there is no target) the final figures are compared instead
    sensitivity, budget     by the trials of tuning

Everything is computed from the records, so a race may be judged by another target, or by another cost,
without running anything again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from thalweg.numeric import without_nonfinite
from thalweg.race.judging.claims import Claim
from thalweg.race.judging.evidence import Evidence, chosen_points, gather_evidence
from thalweg.race.judging.further import FurtherSeeds, further_seeds
from thalweg.race.judging.looks import Comparing, comparing, cost_unit, look
from thalweg.race.judging.reached import Goal, StepSeconds, alone_step_seconds
from thalweg.race.judging.scores import ComparedBy
from thalweg.race.judging.standings import Standing, rank
from thalweg.race.judging.summary import Summary, summarize_all
from thalweg.race.judging.timed import StepErrors, known_errors, seconds_notes
from thalweg.race.judging.tuning import (
    RateSensitivity,
    TuningCurve,
    curve_row,
    sensitivities,
    sensitivity_row,
    spent,
    tuned_points,
    tuning_curves,
)
from thalweg.race.trials.point import Point
from thalweg.race.trials.ranking import RankBy
from thalweg.race.trials.records import Stage, TrialRecord


@dataclass(frozen=True, eq=False)
class Judgement:
    """The results of a race.

    `standings` are the entrants that have trials, the best first, and `claims` every pair of them.
    `judged_on` says by which trials: "final", or "tuning" where a race was stopped before its final,
    in which case there are no claims. `may_be_best` are those that may be the best (the fastest, or
    of final figures the best), in the order of the standings: a set of one is the winner, and it is
    empty where nothing was compared. `compared_by` says by which cost, or "final" for the final
    figure where nobody reached the target. `seeds` are those that count, and `looked_again` the entrants
    that ran the last of them, `more_seeds`, because the first left them in question. `further` says what
    still more seeds would cost and tell, None where nothing is open. `slack` is what each entrant may have
    lost in the choice of its point (`thalweg.race.judging.luck`): claims allow for it. `notes` says in
    sentences what is not as it should be.

    `chosen` is the point of each entrant and `tried` its learning rates, ascending. `tuning` sums up
    every point of tuning. `spent` is what each entrant was given.
    """

    standings: tuple[Standing, ...]
    claims: tuple[Claim, ...]
    may_be_best: tuple[str, ...]
    judged_on: Stage
    compared_by: ComparedBy
    seeds: tuple[int, ...]
    notes: tuple[str, ...]
    chosen: Mapping[str, Point]
    tried: Mapping[str, tuple[float, ...]]
    tuning: tuple[Summary, ...]
    sensitivities: Mapping[str, RateSensitivity]
    tuning_curves: Mapping[str, TuningCurve]
    spent: tuple[dict[str, Any], ...]
    looked_again: tuple[str, ...] = ()
    more_seeds: tuple[int, ...] = ()
    further: FurtherSeeds | None = None
    slack: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values; a censored cost is None.

        The keys: judged_on, compared_by, judged_seeds, second_look, slack, further_seeds, notes, standings,
        comparisons, may_be_best, tuning, sensitivity, budget_curves, cost.
        """
        values: dict[str, Any] = without_nonfinite(
            {
                "judged_on": self.judged_on,
                "compared_by": self.compared_by,
                "judged_seeds": list(self.seeds),
                "second_look": {
                    "entrants": list(self.looked_again),
                    "seeds": list(self.more_seeds),
                },
                "slack": dict(self.slack),
                "further_seeds": None if self.further is None else self.further.to_dict(),
                "notes": list(self.notes),
                "standings": [standing.to_dict() for standing in self.standings],
                "comparisons": [claim.to_dict() for claim in self.claims],
                "may_be_best": list(self.may_be_best),
                "tuning": [summary.to_dict() for summary in self.tuning],
                "sensitivity": [sensitivity_row(*item) for item in self.sensitivities.items()],
                "budget_curves": [curve_row(*item) for item in self.tuning_curves.items()],
                "cost": list(self.spent),
            }
        )
        return values


def judge(
    records: Iterable[TrialRecord],
    entrants: Sequence[str],
    goal: Goal,
    rank_by: RankBy = "steps",
    *,
    search: str = "grid",
    step_seconds: StepSeconds | None = None,
    step_errors: StepErrors | None = None,
    grids: Mapping[str, Sequence[float]] | None = None,
    level: float = 0.95,
    alpha: float = 0.05,
    more_seeds: Sequence[int] = (),
) -> Judgement:
    """Rank and compare the entrants of a race by its finished trials.

    Args:
        records: the finished trials of tuning and final, in any order; those of others do not count.
        entrants: the names of all who take part.
        goal: the figure that decides and its target.
        rank_by: the cost that decides: "steps", "seconds" or "gradients".
        search: how tuning looked for points; of "grid" and "quasi-random" it says more.
        step_seconds: the seconds of a step of each entrant, measured alone, by which steps are turned
            into seconds; without, trials count with their own, which mean little where they trained
            together.
        step_errors: how far the logarithms of these seconds may be wrong, None where that is not known:
            then they count as known, as those of earlier versions do.
        grids: the learning rates that the search of each entrant began with, if it then placed others by
            their results; without, all points count as drawn in budget curves.
        level: of the intervals of medians.
        alpha: the chance of any false claim, or interval without its true ratio, among all pairs; and
            that to leave the true best out of `may_be_best`.
        more_seeds: those of the final that only entrants run who are in question after the others;
            none in a race that looks once.

    Example:
        >>> from thalweg.race.trials.records import Curve
        >>> def trial(entrant, seed, steps):
        ...     curve = Curve((1,), (steps,), (1.0,), (steps,), (0.1,), (0.95,))
        ...     return TrialRecord(
        ...         f"{entrant}{seed}",
        ...         entrant,
        ...         0.1,
        ...         seed,
        ...         "finished",
        ...         stage="final",
        ...         steps=900,
        ...         gradients=900,
        ...         final=0.95,
        ...         curve=curve,
        ...     )
        >>> records = [trial("adam", s, 200 + s) for s in range(6)]
        >>> records += [trial("sgd", s, 400 + 3 * s) for s in range(6)]
        >>> judgement = judge(records, ["sgd", "adam"], Goal("accuracy", "max", 0.95))
        >>> for place in judgement.standings:
        ...     print(place.rank, place.group, place.entrant, place.steps.estimate)
        1 1 adam 202.5
        2 2 sgd 407.5
        >>> print(*judgement.claims)
        sgd is worse than adam: steps ratio 2.01, simultaneous 96.9 % interval [2, 2.02], corrected p = 0.031
    """
    given = tuple(records)
    by = cost_unit(rank_by)
    errors = known_errors(step_seconds, step_errors)
    evidence = gather_evidence(given, entrants, goal, by, more_seeds)
    how = comparing(
        given,
        entrants,
        evidence,
        goal,
        rank_by,
        step_seconds=step_seconds,
        errors=errors,
        alpha=alpha,
    )
    looked = look(evidence, how, twice=bool(more_seeds))
    tried = _tried(given, entrants)
    seconds_a_step = {**alone_step_seconds(given), **(step_seconds or {})}
    tuned = tuned_points(given, entrants)
    standings = rank(
        evidence,
        looked.claims,
        goal,
        how.by,
        tried=tried,
        step_seconds=step_seconds,
        step_errors=errors,
        seconds_a_step=seconds_a_step,
        level=level,
        again=looked.again,
    )
    further = evidence.more_seeds if looked.again else ()
    best, again = (
        tuple(place.entrant for place in standings if place.entrant in names)
        for names in (looked.best, looked.again)
    )
    return Judgement(
        standings=standings,
        claims=looked.claims,
        may_be_best=best,
        judged_on=evidence.stage,
        compared_by=how.by,
        seeds=(*evidence.seeds, *further),
        notes=(*evidence.notes, *_notes(evidence, how)),
        chosen=chosen_points(given, entrants, goal, by),
        tried=tried,
        tuning=_summaries(given, entrants, goal, step_seconds),
        sensitivities=sensitivities(tuned, goal, rank_by, search, step_seconds),
        tuning_curves=tuning_curves(tuned, goal, rank_by, search, step_seconds, grids=grids),
        spent=tuple(spent(given, entrants, seconds_a_step, errors)),
        looked_again=again,
        more_seeds=further,
        further=further_seeds(replace(looked, best=best), evidence, how),
        slack=how.slack if looked.claims else {},
    )


def _notes(evidence: Evidence, how: Comparing) -> Iterable[str]:
    goal = how.goal
    if how.by == "seconds":
        yield from seconds_notes(list(evidence.trials), how.step_seconds, how.errors)
    if how.by != "final" or not evidence.trials:
        return
    if goal.value is not None:
        why = f"Nobody reached the target of {goal.metric} {goal.value:g}"
    elif evidence.stage == "tuning":
        why = "There is no target yet: tuning sets it when it is over"
    else:
        why = "There is no target"
    yield f"{why}: entrants are ordered and compared by their final {goal.metric}."


def _tried(records: Sequence[TrialRecord], entrants: Sequence[str]) -> dict[str, tuple[float, ...]]:
    rates: dict[str, set[float]] = {name: set() for name in entrants}
    for record in records:
        if record.entrant in rates:
            rates[record.entrant].add(record.lr)
    return {name: tuple(sorted(tried)) for name, tried in rates.items()}


def _summaries(
    records: Sequence[TrialRecord],
    entrants: Sequence[str],
    goal: Goal,
    step_seconds: StepSeconds | None,
) -> tuple[Summary, ...]:
    ordered = [
        record
        for name in entrants
        for record in records
        if record.entrant == name and record.stage == "tuning"
    ]
    return summarize_all(ordered, goal, step_seconds)
