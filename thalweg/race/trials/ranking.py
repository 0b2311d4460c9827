"""What entrants are ranked by: a cost of training, and in which direction a figure is better."""

from __future__ import annotations

from typing import Literal

from thalweg.errors import TaskError, suggest

Direction = Literal["max", "min"]
RankBy = Literal["steps", "seconds", "gradients"]

_RANKS: tuple[RankBy, ...] = ("steps", "seconds", "gradients")


def checked_rank(by: str) -> RankBy:
    """Return the cost of this name; raise TaskError where there is none."""
    for known in _RANKS:
        if by == known:
            return known
    raise TaskError(
        f"A race is ranked by steps, seconds or gradients, not by {by!r}.{suggest(by, _RANKS)}"
    )
