"""What a race will run: every entrant at every learning rate of its grid with every seed, in a fair
order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from thalweg.errors import TaskError
from thalweg.race.entrants import Entrant


@dataclass(frozen=True)
class Trial:
    """One training run to be made."""

    entrant: Entrant
    lr: float
    seed: int


@dataclass(frozen=True)
class Plan:
    """The entrants and the budget that each of their trials gets.

    Raises:
        TaskError: for a budget that trains nothing.
    """

    entrants: tuple[Entrant, ...]
    seeds: tuple[int, ...]
    epochs: int
    batch_size: int | None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise TaskError(f"A race needs at least one epoch, got epochs={self.epochs}.")
        if self.batch_size is not None and self.batch_size < 1:
            raise TaskError(f"A batch holds at least one row, got batch_size={self.batch_size}.")

    def trials(self) -> tuple[Trial, ...]:
        """Return every trial in the order of running.

        Entrants take turns, and take turns at going first, so that whatever slows the machine for a
        while slows all of them alike. Seeds come last in the nesting: a race that is stopped early
        has compared everyone.
        """
        longest = max(len(entrant.lrs) for entrant in self.entrants)
        return tuple(
            Trial(entrant, entrant.lrs[turn], seed)
            for seed in self.seeds
            for turn in range(longest)
            for entrant in _rotated(self.entrants, turn)
            if turn < len(entrant.lrs)
        )


def gather_seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """Return the seeds of a race: a number of them counts from 0, a sequence stands for itself.

    >>> gather_seeds(3), gather_seeds([7, 9])
    ((0, 1, 2), (7, 9))
    """
    gathered = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not gathered:
        raise TaskError(f"A race needs at least one seed, got seeds={seeds!r}.")
    if len(set(gathered)) != len(gathered):
        raise TaskError(f"A seed is given twice in {gathered}: that would count one trial as two.")
    return gathered


def _rotated(entrants: tuple[Entrant, ...], turn: int) -> tuple[Entrant, ...]:
    first = turn % len(entrants)
    return entrants[first:] + entrants[:first]
