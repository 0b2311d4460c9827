"""The ranking of the entrants, with groups of those that are not distinguishable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.numeric import without_nonfinite
from thalweg.race.judging.claims import Claim
from thalweg.race.judging.evidence import Evidence
from thalweg.race.judging.reached import Goal, StepSeconds, cost_to_target
from thalweg.race.judging.scores import ComparedBy, Trials, scores_of
from thalweg.race.judging.selection import GridEdge, edge_of_grid
from thalweg.race.judging.summary import Summary, summarize
from thalweg.race.trials.ranking import RankBy
from thalweg.race.trials.records import TrialRecord
from thalweg.statistics import Interval, SharedError, groups_of, median_interval, with_error


@dataclass(frozen=True)
class Standing:
    """The place of an entrant.

    `rank` counts from 1 in the order of the means that are compared; `group` from 1 for those that are not
    distinguishable from the best. `best` sums up its trials at its chosen point, which lies on the
    `edge` of the learning rates that were tried. `steps`, `seconds` and `gradients` are medians to the
    target with their intervals.
    """

    rank: int
    group: int
    best: Summary
    edge: GridEdge | None
    steps: Interval
    seconds: Interval
    gradients: Interval
    seconds_a_step: float | None

    @property
    def entrant(self) -> str:
        """The name of the entrant."""
        return self.best.entrant

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values; a censored cost is None."""
        best = self.best
        values: dict[str, Any] = {
            "rank": self.rank,
            "group": self.group,
            "entrant": best.entrant,
            "lr": best.lr,
            "hyperparameters": best.hyperparameters,
            "edge": self.edge,
            "trials": best.trials,
            "reached": best.reached,
            "diverged": best.diverged,
            "failed": best.failed,
        }
        for by in ("steps", "seconds", "gradients"):
            interval: Interval = getattr(self, by)
            values |= {
                by: interval.estimate,
                f"{by}_low": interval.low,
                f"{by}_high": interval.high,
            }
        values |= {
            "level": self.steps.level,
            "attained": self.steps.attained,
            "final": best.final,
            "final_low": best.final_low,
            "final_high": best.final_high,
            "seconds_a_step": self.seconds_a_step,
        }
        plain: dict[str, Any] = without_nonfinite(values)
        return plain


def rank(
    evidence: Evidence,
    claims: Sequence[Claim],
    goal: Goal,
    compared_by: ComparedBy,
    *,
    tried: Mapping[str, Iterable[float]],
    step_seconds: StepSeconds | None = None,
    step_errors: Mapping[str, SharedError] | None = None,
    seconds_a_step: Mapping[str, float] | None = None,
    level: float = 0.95,
    again: Sequence[str] = (),
) -> tuple[Standing, ...]:
    """Rank the entrants by the trials that judge them.

    By what they are compared by, so that order and claims agree: of a cost the geometric mean with
    misses at the budget, of final figures the mean. Of equals, by how many seeds reached the target,
    by the median final figure, by name. Those that were in question and ran more seeds come first, in the
    order of all their seeds: the others are not among the possible bests. Entrants whose tuning was lost
    come last.

    Args:
        evidence: the trials.
        claims: of every pair; none if they support none, in which case all are in one group.
        goal: the figure and its target.
        compared_by: what decides.
        tried: the learning rates tried for each entrant.
        step_seconds: the seconds of a step by entrant, by which steps are turned into seconds.
        step_errors: how far the logarithms of these seconds may be wrong.
        seconds_a_step: the same, to be reported.
        level: of the intervals.
        again: those that ran more seeds.
    """
    further = {name: evidence.more[name] for name in again}
    others = {name: row for name, row in evidence.trials.items() if name not in further}
    names = [
        name
        for part in (further, others)
        for name, _ in sorted(_keys(part, goal, compared_by, step_seconds).items(), key=_second)
    ]
    apart = {
        pair
        for c in claims
        if c.outcome != "not distinguishable"
        for pair in ((c.first, c.second), (c.second, c.first))
    }
    groups = groups_of(names, lambda one, other: (one, other) not in apart)
    last = 1 + max(groups.values(), default=0)
    trials = {**others, **further, **evidence.lost}
    return tuple(
        _standing(
            trials[name],
            goal,
            step_seconds,
            level,
            rank=position,
            group=groups.get(name, last),
            tried=tried[name],
            seconds_a_step=(seconds_a_step or {}).get(name),
            error=(step_errors or {}).get(name),
        )
        for position, name in enumerate([*names, *evidence.lost], start=1)
    )


def _keys(
    trials: Trials, goal: Goal, compared_by: ComparedBy, step_seconds: StepSeconds | None
) -> dict[str, tuple[float | str, ...]]:
    """What each entrant is sorted by."""
    scores = scores_of(trials, goal, compared_by, step_seconds)
    keys: dict[str, tuple[float | str, ...]] = {}
    for name, row in trials.items():
        reached = sum(math.isfinite(cost) for cost in _costs(row, goal, "steps", step_seconds))
        final = goal.badness(goal.median(record.final for record in row))
        # equal but for rounding is equal
        keys[name] = (round(float(scores[name].mean()), 12), -reached, final, name)
    return keys


def _standing(
    records: Sequence[TrialRecord],
    goal: Goal,
    step_seconds: StepSeconds | None,
    level: float,
    *,
    rank: int,
    group: int,
    tried: Iterable[float],
    seconds_a_step: float | None,
    error: SharedError | None,
) -> Standing:
    best = summarize(records, goal, step_seconds)
    steps, seconds, gradients = (
        median_interval(_costs(records, goal, by, step_seconds), level)
        for by in ("steps", "seconds", "gradients")
    )
    edge = edge_of_grid(best.lr, tried)
    seconds = with_error(seconds, error)
    return Standing(rank, group, best, edge, steps, seconds, gradients, seconds_a_step)


def _costs(
    records: Sequence[TrialRecord], goal: Goal, by: RankBy, step_seconds: StepSeconds | None
) -> list[float]:
    return [cost_to_target(record, goal, by, step_seconds) for record in records]


def _second(item: tuple[str, tuple[float | str, ...]]) -> tuple[float | str, ...]:
    return item[1]
