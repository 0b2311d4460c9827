"""The cost at which a trial reached the target, read off its learning curve.

So a race can be judged by another target without running again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from thalweg.race.trials.ranking import Direction, RankBy
from thalweg.race.trials.records import TrialRecord

StepSeconds = Mapping[str, float]
"""The seconds that a step takes, by entrant."""

_SLACK = 1e-12
_LEAST_SECONDS = 1e-9
"""The least time to a target: a coarse clock may measure none, and times must be positive."""


@dataclass(frozen=True)
class Goal:
    """The validation figure that decides a race, and its target; without one, `value` is None.

    Example:
        >>> goal = Goal("accuracy", "max", 0.95)
        >>> goal.is_met(0.95), goal.is_met(0.94), goal.is_met(None)
        (True, False, False)
    """

    metric: str
    direction: Direction
    value: float | None = None

    def is_met(self, figure: float | None) -> bool:
        """Say whether a figure is as good as the target, within rounding."""
        if self.value is None or figure is None:
            return False
        slack = _SLACK * abs(self.value)
        if self.direction == "max":
            return figure >= self.value - slack
        return figure <= self.value + slack

    def badness(self, figure: float | None) -> float:
        """Return the figure with the sign by which smaller is better; infinity for none.

        >>> Goal("accuracy", "max").badness(0.9), Goal("loss", "min").badness(None)
        (-0.9, inf)
        """
        if figure is None:
            return math.inf
        return -figure if self.direction == "max" else figure

    def median(self, figures: Iterable[float | None]) -> float | None:
        """Return the median figure, where none is the worst; None where the median is such a one.

        >>> goal = Goal("accuracy", "max")
        >>> goal.median([0.9, None, 0.7]), goal.median([0.9, None])
        (0.7, None)
        """
        middle = statistics.median(self.badness(figure) for figure in figures)
        if not math.isfinite(middle):
            return None
        return -middle if self.direction == "max" else middle


@dataclass(frozen=True)
class CostToTarget:
    """What a trial had spent when its curve first met the target."""

    steps: float
    seconds: float
    gradients: float


def first_reached(
    record: TrialRecord, goal: Goal, step_seconds: StepSeconds | None = None
) -> CostToTarget | None:
    """Return what a trial had spent when it first met the target; None if it missed.

    A trial that diverged or failed later missed too: nobody would choose what explodes afterwards.
    The target counts as met at the evaluation that shows it, which is at most one interval between
    evaluations late; one before the first step does not count.

    Args:
        record: of the trial.
        goal: the figure and its target.
        step_seconds: for each entrant the seconds of a step, measured alone; where they are given,
            seconds are steps times these, else those of the record.
    """
    if record.status != "finished":
        return None
    curve = record.curve
    for place, (step, figure) in enumerate(zip(curve.steps, curve.metric, strict=True)):
        if step > 0 and goal.is_met(figure):
            seconds = _seconds(record, step, curve.seconds[place], step_seconds)
            return CostToTarget(step, seconds, curve.gradients[place])
    return None


def cost_to_target(
    record: TrialRecord, goal: Goal, by: RankBy, step_seconds: StepSeconds | None = None
) -> float:
    """Return the steps, seconds or gradient-equivalents to the target; infinity for a miss."""
    reached = first_reached(record, goal, step_seconds)
    return math.inf if reached is None else float(getattr(reached, by))


def whole_cost(record: TrialRecord, by: RankBy, step_seconds: StepSeconds | None = None) -> float:
    """Return what the whole trial took."""
    if by == "seconds":
        return _seconds(record, record.steps, record.seconds, step_seconds)
    return float(getattr(record, by))


def common_budget(
    records: Iterable[TrialRecord], by: RankBy, step_seconds: StepSeconds | None = None
) -> float:
    """Return what the longest of these trials took: what a miss counts with.

    Entrants have the same budget of gradients, and so different ones of seconds. A miss is worse
    than any hit, also where it took less.
    """
    return max((whole_cost(record, by, step_seconds) for record in records), default=0.0) or 1.0


def alone_step_seconds(records: Iterable[TrialRecord]) -> dict[str, float]:
    """Return for each entrant the median seconds of a step, of the finished trials that ran alone."""
    seconds: dict[str, list[float]] = {}
    for record in records:
        if record.status == "finished" and record.stacked == 1 and record.steps > 0:
            seconds.setdefault(record.entrant, []).append(record.seconds / record.steps)
    return {entrant: statistics.median(values) for entrant, values in seconds.items()}


def _seconds(
    record: TrialRecord, steps: int, own: float, step_seconds: StepSeconds | None
) -> float:
    if step_seconds is not None and record.entrant in step_seconds:
        own = steps * step_seconds[record.entrant]
    return max(own, _LEAST_SECONDS)
