# ruff: noqa: N801 - schedules are called like functions: `join((constant(0.1), 500), cosine(0.1, steps=500))`
"""Schedules made of schedules: a warm-up before one, and several in a row."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

from thalweg.schedules.checks import fractions, length, lengths
from thalweg.schedules.schedule import Schedule, a_schedule
from thalweg.schedules.shapes import blend, ramp


@dataclass(frozen=True, repr=False)
class warmup(Schedule):
    """A straight line up to the first value of `schedule` in `steps` steps, then `schedule` from its 0.

        schedule(0)·(start + (1 − start)·k/steps)   while k < steps
        schedule(k − steps)                         from k = steps on

    Without `start` the line would be at zero one step earlier, start = 1/(steps + 1): it is the factor
    (k + 1)/(steps + 1), and no step is lost on a rate of 0. Transformers and Optax begin with 0:
    give `start=0.0`.

    Source: Goyal et al. 2017, section 2.2.

    >>> from thalweg.schedules import constant, cosine
    >>> schedule = warmup(cosine(0.1, steps=100), 3)
    >>> [round(schedule(k), 12) for k in range(4)]
    [0.025, 0.05, 0.075, 0.1]
    >>> schedule(103)
    0.0
    >>> warmup(constant(0.1), 4, start=0.0)(0)
    0.0
    """

    schedule: Schedule
    steps: float
    _: KW_ONLY
    start: float | None = None

    def __post_init__(self) -> None:
        a_schedule(self.name, "schedule", self.schedule)
        lengths(self, "steps")
        if self.start is not None:
            fractions(self, "start")

    def _value(self, k: float) -> float:
        if k >= self.steps:
            return self.schedule(k - self.steps)
        if self.start is None:
            return self.schedule(0) * ramp(k, self.steps)
        return self.schedule(0) * blend(self.start, 1.0, k / self.steps)


@dataclass(frozen=True, repr=False, init=False)
class join(Schedule):
    """Schedules one after another: each starts at its own 0 where the one before ends.

    Args:
        pieces: pairs (schedule, steps). The last may be a schedule alone, which goes on for ever; with a
            number of steps it keeps the value that it has after so many.

    >>> from thalweg.schedules import constant, cosine
    >>> schedule = join((constant(0.1), 500), cosine(0.1, steps=100))
    >>> schedule(499), schedule(500), round(schedule(550), 12), schedule(600)
    (0.1, 0.1, 0.05, 0.0)
    >>> schedule
    join((constant(0.1), 500), cosine(0.1, steps=100))
    """

    pieces: tuple[tuple[Schedule, float | None], ...]

    def __init__(self, *pieces: tuple[Schedule, float | None] | Schedule) -> None:
        if not pieces:
            raise ValueError("join: no pieces; expected pairs (schedule, steps).")
        checked = [_piece(piece, i + 1, len(pieces)) for i, piece in enumerate(pieces)]
        object.__setattr__(self, "pieces", tuple(checked))

    def _value(self, k: float) -> float:
        for schedule, steps in self.pieces[:-1]:
            assert steps is not None
            if k < steps:
                return schedule(k)
            k -= steps
        schedule, steps = self.pieces[-1]
        return schedule(k if steps is None else min(k, steps))

    def __repr__(self) -> str:
        *others, (schedule, steps) = self.pieces
        last = schedule if steps is None else (schedule, steps)
        return f"join({', '.join(map(repr, [*others, last]))})"

    @classmethod
    def _from_fields(cls, **fields: Any) -> Self:
        return cls(*fields["pieces"])


def _piece(piece: Any, place: int, count: int) -> tuple[Schedule, float | None]:
    what = f"piece {place} of {count}"
    if isinstance(piece, Schedule):
        piece = (piece, None)
    if not isinstance(piece, tuple | list) or len(piece) != 2:
        raise TypeError(f"join: {what} must be a pair (schedule, steps), got {piece!r}.")
    schedule, steps = piece
    a_schedule("join", f"the schedule of {what}", schedule)
    if steps is None and place == count:
        return schedule, None
    if steps is None:
        raise ValueError(
            f"join: {what} has no number of steps, which only the last may lack: write ({schedule!r}, steps)."
        )
    return schedule, length("join", f"the steps of {what}", steps)
