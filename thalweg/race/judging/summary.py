"""Summary statistics of the trials of one point.

A trial that misses the target is censored, not dropped: its cost counts as infinite. So a median over
three seeds is finite only if at least two of them reached the target, and "2 of 3 reached" is always
said beside it. Diverged and failed trials are misses, and have the worst possible final figure.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from thalweg.numeric import without_nonfinite
from thalweg.race.judging.reached import Goal, StepSeconds, first_reached
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import TrialRecord


@dataclass(frozen=True)
class Summary:
    """One entrant at one point, over the seeds of trials of equal length.

    `steps`, `seconds` and `gradients` are medians to the target, infinite where the median trial
    missed it. `final` is the median final figure, None where the median trial has none; `final_low`
    and `final_high` are its range over the trials that have one.
    """

    entrant: str
    lr: float
    hyperparameters: dict[str, Any]
    epochs: int
    trials: int
    reached: int
    steps: float
    seconds: float
    gradients: float
    final: float | None
    final_low: float | None
    final_high: float | None
    diverged: int
    failed: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values; a censored cost is None."""
        values: dict[str, Any] = without_nonfinite(asdict(self))
        return values


def point_of(record: TrialRecord) -> Point:
    """Return the point of a trial, equal for a record that was read back from the disk.

    >>> point_of(TrialRecord("k", "adam", 0.1, 0, "finished", {"betas": [0.9, 0.99]})).others
    (('betas', (0.9, 0.99)),)
    """
    others = sorted(record.hyperparameters.items())
    return Point(record.lr, tuple((name, _hashable(value)) for name, value in others))


def summarize(
    records: Sequence[TrialRecord], goal: Goal, step_seconds: StepSeconds | None = None
) -> Summary:
    """Sum up trials of one entrant at one point.

    Raises:
        ValueError: if there is no record, or if they are of several entrants, points or lengths.
    """
    if len({(record.entrant, point_of(record), record.epochs) for record in records}) != 1:
        raise ValueError("summarize expects trials of exactly one entrant, point and length.")
    reached = [first_reached(record, goal, step_seconds) for record in records]
    steps, seconds, gradients = (
        statistics.median(math.inf if hit is None else getattr(hit, by) for hit in reached)
        for by in ("steps", "seconds", "gradients")
    )
    finals = [record.final for record in records if record.final is not None]
    first = records[0]
    return Summary(
        entrant=first.entrant,
        lr=first.lr,
        hyperparameters=dict(first.hyperparameters),
        epochs=first.epochs,
        trials=len(records),
        reached=sum(hit is not None for hit in reached),
        steps=steps,
        seconds=seconds,
        gradients=gradients,
        final=goal.median(record.final for record in records),
        final_low=min(finals, default=None),
        final_high=max(finals, default=None),
        diverged=sum(record.status == "diverged" for record in records),
        failed=sum(record.status == "failed" for record in records),
    )


def summarize_all(
    records: Iterable[TrialRecord], goal: Goal, step_seconds: StepSeconds | None = None
) -> tuple[Summary, ...]:
    """Sum up every entrant at every point and length, in ascending order of the learning rates.

    Entrants come in the order of their first records.
    """
    groups: dict[tuple[str, Point, int], list[TrialRecord]] = {}
    entrants: dict[str, int] = {}
    for record in records:
        entrants.setdefault(record.entrant, len(entrants))
        key = (record.entrant, point_of(record), record.epochs)
        groups.setdefault(key, []).append(record)

    def order(key: tuple[str, Point, int]) -> tuple[int, float, str, int]:
        entrant, point, epochs = key
        return entrants[entrant], point.lr, repr(point.others), epochs

    return tuple(summarize(groups[key], goal, step_seconds) for key in sorted(groups, key=order))


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list | tuple) else value
