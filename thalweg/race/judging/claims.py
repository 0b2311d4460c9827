"""Pairwise comparisons of the entrants, by the trials of the final."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from thalweg.race.judging.reached import (
    Goal,
    StepSeconds,
    common_budget,
    cost_to_target,
    whole_cost,
)
from thalweg.race.trials.ranking import RankBy
from thalweg.race.trials.records import TrialRecord
from thalweg.statistics import (
    Interval,
    Outcome,
    compare_all,
    difference_interval,
    fewest_seeds,
    joint,
    share_as_far,
)

ComparedBy = Literal["steps", "seconds", "gradients", "final"]
Bound = Literal["exact", "at least", "at most", "unknown"]

_Trials = Mapping[str, Sequence[TrialRecord]]
TIMING = 0.05
"""How much of a ratio of seconds may be the clock's: seconds a step are measured once for all seeds,
so that no test over seeds can see their error.
"""

_UNITS = {"steps": "steps", "seconds": "seconds", "gradients": "gradient-equivalents"}


@dataclass(frozen=True)
class Claim:
    """A comparison of two entrants.

    `effect` is the ratio of the geometric means of their costs to the target, below 1 where the first
    is faster; or, where nobody reached the target (`compared_by` is "final"), the difference of their
    mean final figures, first minus second. `bound` says what misses make of it. `p` is of the paired
    sign-flip test, `corrected` for all pairs together; the outcome is "better" or "worse" where
    `corrected` ≤ `alpha`. Of seconds, ratios of up to 1.05 count as equal.
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

    @property
    def too_few(self) -> bool:
        """Whether no result whatever of so few seeds could have told the two apart."""
        return self.seeds < fewest_seeds(self.alpha)

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
            needed = fewest_seeds(self.alpha)
            seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
            text += f"; {seeds} cannot tell, whatever they give: at least {needed} can"
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
            return what  # one seed has no interval
        return f"{what}, {100 * e.attained:.3g} % interval {interval}"


def compare_costs(
    trials: _Trials,
    goal: Goal,
    by: RankBy,
    *,
    step_seconds: StepSeconds | None = None,
    level: float = 0.95,
    alpha: float = 0.05,
) -> tuple[Claim, ...]:
    """Compare every pair by the cost to the target.

    A miss counts with what the longest trial took. Where the trials of the one who missed were
    shorter, as they may be in seconds, that is no bound of what it would have taken, and `bound` is
    "unknown".

    Args:
        trials: those of each entrant, on the same seeds in the same order.
        goal: the figure and its target.
        by: which cost.
        step_seconds: the seconds of a step, by entrant.
        level: of the intervals.
        alpha: the chance of any false claim among all pairs.
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
    made = compare_all(
        times,
        budget,
        alpha=alpha,
        level=level,
        tolerance=TIMING if by == "seconds" else 0.0,
    )
    claims = []
    for c in made:
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
    trials: _Trials, goal: Goal, *, level: float = 0.95, alpha: float = 0.05
) -> tuple[Claim, ...]:
    """Compare every pair by the final figure, for races in which nobody reaches a target.

    A trial without one, which diverged or failed, counts with the worst that any trial ended with,
    the least that can be held against it; `misses` counts those.

    Args:
        trials: those of each entrant, on the same seeds in the same order.
        goal: the figure.
        level: of the intervals.
        alpha: the chance of any false claim among all pairs.
    """
    if len(trials) < 2:
        return ()
    rows = _restricted_badness(trials, goal)
    misses = {name: sum(record.final is None for record in row) for name, row in trials.items()}
    pairs = list(combinations(rows, 2))
    scores = np.array([rows[a] - rows[b] for a, b in pairs])
    p, corrected = share_as_far(scores), joint(scores)
    sign = -1.0 if goal.direction == "max" else 1.0
    claims = []
    for k, (a, b) in enumerate(pairs):
        toward = float(scores[k].sum())
        told = corrected[k] <= alpha and toward != 0
        outcome: Outcome = ("better" if toward < 0 else "worse") if told else "not distinguishable"
        claims.append(
            Claim(
                first=a,
                second=b,
                compared_by="final",
                outcome=outcome,
                p=float(p[k]),
                corrected=float(corrected[k]),
                alpha=alpha,
                effect=difference_interval(sign * rows[a], sign * rows[b], level),
                bound=_bound(misses[a], misses[b], goal),
                seeds=scores.shape[-1],
                misses=(misses[a], misses[b]),
                metric=goal.metric,
            )
        )
    return tuple(claims)


def mean_badness(trials: _Trials, goal: Goal) -> dict[str, float]:
    """Return the means that `compare_finals` compares, with the sign by which smaller is better."""
    return {name: float(row.mean()) for name, row in _restricted_badness(trials, goal).items()}


def _restricted_badness(trials: _Trials, goal: Goal) -> dict[str, Any]:
    finals = [record.final for row in trials.values() for record in row]
    worst = max((goal.badness(final) for final in finals if final is not None), default=0.0)
    return {
        name: np.array([min(goal.badness(record.final), worst) for record in row])
        for name, row in trials.items()
    }


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
