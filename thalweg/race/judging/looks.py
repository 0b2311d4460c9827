"""What is claimed, and of whom: after the first seeds of the final, and after more where they decide.

A race without more seeds looks once. Else the first look compares all entrants on the seeds that all of
them ran; those whom it leaves among the possible bests run more, and the second look compares them on all
of theirs. The looks share α (`thalweg.statistics.looks`), so that all claims and intervals hold together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from thalweg.race.judging.claims import Claim, compare_costs, compare_finals
from thalweg.race.judging.evidence import Evidence, chosen_points, gather_evidence
from thalweg.race.judging.luck import slacks
from thalweg.race.judging.reached import Goal, StepSeconds, first_reached
from thalweg.race.judging.scores import ComparedBy, Trials, score_tolerance, scores_of
from thalweg.race.judging.selection import CostUnit
from thalweg.race.judging.timed import StepErrors, known_errors
from thalweg.race.trials.ranking import RankBy
from thalweg.race.trials.records import TrialRecord
from thalweg.statistics import SharedError, possible_bests
from thalweg.statistics.looks import FIRST, SECOND


@dataclass(frozen=True)
class Looked:
    """What was found.

    `claims` compares every pair; `best` holds those that may be the best, and is empty where nothing was
    compared. `again` holds those that the second look compared, on more seeds.
    """

    claims: tuple[Claim, ...] = ()
    best: tuple[str, ...] = ()
    again: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparing:
    """By what entrants are compared, how surely, and what each may have lost in tuning (`luck`).

    `errors` are those of the seconds of a step, where these are compared (`timed`).
    """

    goal: Goal
    by: ComparedBy
    step_seconds: StepSeconds | None = None
    alpha: float = 0.05
    slack: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, SharedError] = field(default_factory=dict)

    def claims(self, trials: Trials, share: float = 1.0) -> tuple[Claim, ...]:
        """Compare every pair, with a share of α."""
        alpha = share * self.alpha
        if self.by == "final":
            return compare_finals(trials, self.goal, alpha=alpha, slack=self.slack)
        return compare_costs(
            trials,
            self.goal,
            self.by,
            step_seconds=self.step_seconds,
            errors=self.errors,
            alpha=alpha,
            slack=self.slack,
        )

    def bests(self, trials: Trials, share: float = 1.0) -> tuple[str, ...]:
        """Return those that may be the best, by a test with a share of α."""
        scores = scores_of(trials, self.goal, self.by, self.step_seconds)
        return possible_bests(
            scores,
            alpha=share * self.alpha,
            tolerance=score_tolerance(self.by),
            slack=self.slack,
            errors=self.errors,
        )


def look(evidence: Evidence, how: Comparing, *, twice: bool) -> Looked:
    """Compare the entrants by the trials that judge.

    Args:
        evidence: the trials.
        how: by what.
        twice: whether the race has more seeds for those in question, even if it has not run them.
    """
    if evidence.stage == "tuning" or len(evidence.trials) < 2:
        return Looked()
    if not twice:
        return Looked(how.claims(evidence.trials), how.bests(evidence.trials))
    claims = how.claims(evidence.trials, FIRST)
    best = how.bests(evidence.trials, FIRST)
    again = best if len(best) > 1 and set(best) <= set(evidence.more) else ()
    later: tuple[Claim, ...] = ()
    if again:
        trials = {name: evidence.more[name] for name in again}
        later, best = how.claims(trials, SECOND), how.bests(trials, SECOND)
    return Looked(_of_both(claims, later, how.alpha), best, again)


def in_question(
    records: Iterable[TrialRecord],
    entrants: Sequence[str],
    goal: Goal,
    rank_by: RankBy,
    step_seconds: StepSeconds | None = None,
    more_seeds: Sequence[int] = (),
    *,
    step_errors: StepErrors | None = None,
) -> tuple[str, ...]:
    """Return the entrants that the first look leaves among the possible bests.

    Args:
        records: those of the race; of the final, those on `more_seeds` do not count.
        entrants: the names of all who take part.
        goal: the figure that decides and its target.
        rank_by: the cost that decides.
        step_seconds: the seconds of a step by entrant.
        more_seeds: those of the second look.
        step_errors: how far the logarithms of these seconds may be wrong, None where that is not known.
    """
    given = [r for r in records if r.stage != "final" or r.seed not in set(more_seeds)]
    by = cost_unit(rank_by)
    evidence = gather_evidence(given, entrants, goal, by)
    how = comparing(
        given,
        entrants,
        evidence,
        goal,
        rank_by,
        step_seconds=step_seconds,
        errors=known_errors(step_seconds, step_errors),
    )
    return look(evidence, how, twice=True).best


def comparing(
    records: Iterable[TrialRecord],
    entrants: Sequence[str],
    evidence: Evidence,
    goal: Goal,
    rank_by: RankBy,
    *,
    step_seconds: StepSeconds | None = None,
    errors: Mapping[str, SharedError] | None = None,
    alpha: float = 0.05,
) -> Comparing:
    """Return by what the entrants of a race are compared: a cost, or the final figure where nobody
    reached the target.
    """
    given, unit = tuple(records), cost_unit(rank_by)
    reached = (
        first_reached(record, goal) for trials in evidence.trials.values() for record in trials
    )
    by: ComparedBy = rank_by if any(reached) else "final"
    chosen = chosen_points(given, entrants, goal, unit)
    slack = slacks(given, chosen, goal, unit, by)
    shared = errors or {} if by == "seconds" else {}
    return Comparing(goal, by, step_seconds, alpha, slack, shared)


def cost_unit(rank_by: RankBy) -> CostUnit:
    """Return the cost by which points were chosen where entrants are ranked by another."""
    return "gradients" if rank_by == "gradients" else "steps"


def _of_both(first: Sequence[Claim], second: Sequence[Claim], alpha: float) -> tuple[Claim, ...]:
    """The claims of both looks with what they hold of α together: a pair's later claim counts."""
    lost = {
        share: max(
            (1 - c.effect.attained for c in claims if c.effect.attained), default=share * alpha
        )
        for share, claims in ((FIRST, first), (SECOND, second))
    }
    level = 1 - sum(lost.values())
    later = {(c.first, c.second): c for c in second} | {(c.second, c.first): c for c in second}
    return tuple(
        _shared(later[pair], SECOND, alpha, level)
        if (pair := (c.first, c.second)) in later
        else _shared(c, FIRST, alpha, level)
        for c in first
    )


def _shared(claim: Claim, share: float, alpha: float, attained: float) -> Claim:
    """A claim that was made with a share of α, as one of a set with all of it."""
    effect = replace(
        claim.effect, level=1 - alpha, attained=attained if claim.effect.attained else 0.0
    )
    corrected = min(1.0, claim.corrected / share)
    return replace(claim, alpha=alpha, share=share, corrected=corrected, effect=effect)
