"""What a solver knows of one of its runs, in plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from thalweg.solvers.search.search import Found, Searching
from thalweg.solvers.stop import Status, Stop

_FALLEN = 1e100
"""How many times its first size an objective may fall below zero before it is called unbounded."""


class Record(NamedTuple):
    """One iteration: evaluations so far, the objective, and its gradient's largest component."""

    evaluations: int
    fun: float
    gradient: float


class Carried(NamedTuple):
    """What a run goes on from: steps and α·φ′(0) of the run before, and the largest gradient it met."""

    steps: int = 0
    fall: float = 0.0
    largest: float = 0.0


NOTHING = Carried()
"""A run that begins."""


@dataclass
class Lane:
    """One run among several: where it is in its search, and what it has used."""

    index: int
    f: float
    size: float
    largest: float
    slope: float = 0.0
    alpha: float = 0.0
    searching: Searching | None = None
    best_alpha: float = 0.0
    best_f: float = 0.0
    best_size: float = 0.0
    steps: int = 0
    """Steps since the direction began anew."""
    fall: float = 0.0
    """α·φ′(0) of the last step."""
    iterations: int = 0
    evaluations: int = 1
    status: Status | None = None
    history: list[Record] = field(default_factory=list)

    def go_on(self, from_: Carried) -> None:
        """Take over what a run before has left."""
        self.steps, self.fall = from_.steps, from_.fall
        self.largest = max(self.largest, from_.largest)

    def aim(self, searching: Searching, slope: float) -> None:
        """Begin a search along a direction with this slope."""
        self.searching, self.slope = searching, slope
        self.best_alpha, self.best_f, self.best_size = 0.0, self.f, self.size
        self.alpha = next(searching)

    def tell(self, f: float, slope: float) -> Found | None:
        """Send what is at α; return what the search found if that ends it, or else have the next α."""
        assert self.searching is not None
        try:
            self.alpha = self.searching.send((f, slope))
        except StopIteration as end:
            found: Found = end.value
            return found
        return None

    def arrive(self) -> None:
        """Take the best point of the search for the present one."""
        self.f, self.size = self.best_f, self.best_size
        self.largest = max(self.largest, self.size)
        self.fall = self.best_alpha * self.slope
        self.steps += 1
        self.iterations += 1
        self.history.append(Record(self.evaluations, self.f, self.size))

    def judge(self, stop: Stop, dtype: torch.dtype) -> None:
        """Set why the run ends at the present point, if it does."""
        if self.status is not None:
            return
        if not (math.isfinite(self.f) and math.isfinite(self.size)):
            self.status = Status.UNDEFINED
        elif self.size == 0 or stop.small(self.size, self.largest, dtype):
            self.status = Status.CONVERGED
        elif self.f < -_FALLEN * max(1.0, abs(self.history[0].fun)):
            self.status = Status.UNBOUNDED
        else:
            self.status = stop.spent(self.iterations, self.evaluations)
