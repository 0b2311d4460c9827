"""Pairwise comparisons of the entrants, by the trials of the final."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from thalweg.race.judging.reached import (
    Goal,
    StepSeconds,
    common_budget,
    cost_to_target,
    whole_cost,
)
from thalweg.race.judging.scores import TIMING, ComparedBy, Trials, scores_of, tolerance_of
from thalweg.race.trials.ranking import RankBy
from thalweg.race.trials.records import TrialRecord
from thalweg.statistics import (
    Interval,
    Outcome,
    PairedDifference,
    SharedError,
    compare_all,
    fewest_seeds,
    outcome_of,
    paired_differences,
)

Bound = Literal["exact", "at least", "at most", "unknown"]

_UNITS = {"steps": "steps", "seconds": "seconds", "gradients": "gradient-equivalents"}


@dataclass(frozen=True)
class Claim:
    """A comparison of two entrants.

    `effect` is the ratio of the geometric means of their costs to the target, below 1 where the first
    is faster; or, where nobody reached the target (`compared_by` is "final"), the difference of their
    mean final figures, first minus second. Its interval is one of a set that holds for all pairs at
    once. `bound` says what misses make of it. `p` is of the paired sign-flip test, `corrected` for all
    pairs together, and for both looks where there are two; the outcome is "better" or "worse" where
    `corrected` ≤ `alpha`, which is where the interval excludes equality. Of seconds, ratios of up to 1.05
    count as equal, and the spread of the turns in which a step was timed is part of interval and test.
    `share` is that of `alpha` which the look had that made the claim.
    """

    first: str
    second: str
    compared_by: ComparedBy
    outcome: Outcome
    p: float
    corrected: float
    alpha: float
    effect: Interval
    bound: Bound
    seeds: int
    misses: tuple[int, int]
    metric: str
    share: float = 1.0

    @property
    def too_few(self) -> bool:
        """Whether no result whatever of so few seeds could have told the two apart."""
        return self.seeds < self._needed

    def __str__(self) -> str:
        told = {"better": "is better than", "worse": "is worse than"}.get(self.outcome)
        start = (
            f"{self.first} {told} {self.second}"
            if told
            else f"{self.first} and {self.second} are not distinguishable"
        )
        text = f"{start}: {self._effect()}, corrected p = {self.corrected:.2g}"
        if self.compared_by == "seconds":
            text += f"; ratios within {100 * TIMING:g} % count as equal, as no clock is surer"
        if self.too_few:
            seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
            text += f"; {seeds} cannot tell, whatever they give: at least {self._needed} can"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values: `ratio` or `difference`, the other one None."""
        e = self.effect
        is_ratio = self.compared_by != "final"
        return {
            "first": self.first,
            "second": self.second,
            "compared_by": self.compared_by,
            "outcome": self.outcome,
            "p": self.p,
            "corrected": self.corrected,
            "alpha": self.alpha,
            "ratio": e.estimate if is_ratio else None,
            "low": e.low if is_ratio else None,
            "high": e.high if is_ratio else None,
            "difference": None if is_ratio else e.estimate,
            "difference_low": None if is_ratio else e.low,
            "difference_high": None if is_ratio else e.high,
            "level": e.level,
            "attained": e.attained,
            "bound": self.bound,
            "seeds": self.seeds,
            "misses": list(self.misses),
            "too_few": self.too_few,
            "text": str(self),
        }

    @property
    def _needed(self) -> int:
        return fewest_seeds(self.share * self.alpha)

    def _effect(self) -> str:
        e = self.effect
        bound = {
            "exact": "",
            "at least": " (at least)",
            "at most": " (at most)",
            "unknown": " (misses leave it open)",
        }[self.bound]
        if self.compared_by == "final":
            what = f"mean final {self.metric} differs by {e.estimate:+.3g}{bound}"
            interval = f"[{e.low:+.3g}, {e.high:+.3g}]"
        else:
            what = f"{_UNITS[self.compared_by]} ratio {e.estimate:.3g}{bound}"
            interval = f"[{e.low:.3g}, {e.high:.3g}]"
        if not e.attained:
            return what  # too few seeds have no interval
        return f"{what}, simultaneous {100 * e.attained:.3g} % interval {interval}"


def compare_costs(
    trials: Trials,
    goal: Goal,
    by: RankBy,
    *,
    step_seconds: StepSeconds | None = None,
    errors: Mapping[str, SharedError] | None = None,
    alpha: float = 0.05,
    slack: Mapping[str, float] | None = None,
) -> tuple[Claim, ...]:
    """Compare every pair by the cost to the target.

    A miss counts with what the longest trial took. Where the trials of the one who missed were
    shorter, as they may be in seconds, that is not a bound of what it would have taken, and `bound` is
    "unknown".

    Args:
        trials: those of each entrant, on the same seeds in the same order.
        goal: the figure and its target.
        by: which cost.
        step_seconds: the seconds of a step, by entrant.
        errors: how far the logarithms of these seconds may be wrong, by entrant.
        alpha: the chance of any false claim, or interval without its true ratio, among all pairs.
        slack: how much smaller the mean score of an entrant may be (`thalweg.race.judging.luck`).
    """
    if len(trials) < 2:
        return ()
    everything = [record for row in trials.values() for record in row]
    budget = common_budget(everything, by, step_seconds)
    times = {
        name: [cost_to_target(record, goal, by, step_seconds) for record in row]
        for name, row in trials.items()
    }
    shorter = {
        name: _longest(row, by, step_seconds) < budget * (1 - 1e-9) for name, row in trials.items()
    }
    claims = []
    compared = compare_all(
        times, budget, alpha=alpha, tolerance=tolerance_of(by), slack=slack, errors=errors
    )
    for c in compared:
        pair = zip((c.first, c.second), c.misses, strict=True)
        open_ended = any(missed and shorter[name] for name, missed in pair)
        claims.append(
            Claim(
                first=c.first,
                second=c.second,
                compared_by=by,
                outcome=c.outcome,
                p=c.p,
                corrected=c.corrected,
                alpha=alpha,
                effect=c.ratio,
                bound="unknown" if open_ended else c.bound,
                seeds=c.seeds,
                misses=c.misses,
                metric=goal.metric,
            )
        )
    return tuple(claims)


def compare_finals(
    trials: Trials,
    goal: Goal,
    *,
    alpha: float = 0.05,
    slack: Mapping[str, float] | None = None,
) -> tuple[Claim, ...]:
    """Compare every pair by the final figure, for races in which nobody reaches a target.

    A trial without one, which diverged or failed, counts with the worst that any trial ended with,
    the least that can be held against it; `misses` counts those.

    Args:
        trials: those of each entrant, on the same seeds in the same order.
        goal: the figure.
        alpha: the chance of any false claim, or interval without its true value, among all pairs.
        slack: how much smaller the mean score of an entrant may be (`thalweg.race.judging.luck`).
    """
    if len(trials) < 2:
        return ()
    misses = {name: sum(record.final is None for record in row) for name, row in trials.items()}
    return tuple(
        Claim(
            first=pair.first,
            second=pair.second,
            compared_by="final",
            outcome=outcome_of(pair, alpha),
            p=pair.p,
            corrected=pair.corrected,
            alpha=alpha,
            effect=_difference(pair, goal, 1 - alpha),
            bound=_bound(misses[pair.first], misses[pair.second], goal),
            seeds=len(trials[pair.first]),
            misses=(misses[pair.first], misses[pair.second]),
            metric=goal.metric,
        )
        for pair in paired_differences(scores_of(trials, goal, "final"), alpha=alpha, slack=slack)
    )


def _difference(pair: PairedDifference, goal: Goal, level: float) -> Interval:
    """The difference of the figures, from that of the scores, of which smaller is better."""
    if goal.direction == "max":
        return Interval(-pair.estimate, -pair.high, -pair.low, level, pair.attained)
    return Interval(pair.estimate, pair.low, pair.high, level, pair.attained)


def _longest(row: Sequence[TrialRecord], by: RankBy, step_seconds: StepSeconds | None) -> float:
    """The cost of the longest finished trial of an entrant; infinity if none finished."""
    whole = [whole_cost(record, by, step_seconds) for record in row if record.status == "finished"]
    return max(whole, default=math.inf)


def _bound(first: int, second: int, goal: Goal) -> Bound:
    """How exact the difference is: a lost trial may have been worse than the worst figure."""
    if first and second:
        return "unknown"
    if not first and not second:
        return "exact"
    higher = bool(first) == (goal.direction == "min")
    return "at least" if higher else "at most"
