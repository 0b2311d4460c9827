"""What a solver knows of one of its runs, in plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from thalweg.solvers.search.search import Found, Searching
from thalweg.solvers.stop import Status, Stop

FALLEN = 1e100
"""How many times its first size an objective may fall below zero before it is called unbounded."""
VISIBLE = 1000
"""Roundings of the objective by which a point must lie higher for its rise to be believed."""
CAREFUL = 0.3
"""How far the very first step goes, in lengths of x."""
LITTLE = 1e-6
"""A decrease below this share of what its search promised is little."""
CRAWL = 10
"""Steps in a row that do little, and so end a run: at a jump it would go on with ever shorter ones."""


class Record(NamedTuple):
    """One iteration: evaluations so far, the objective, and its gradient's largest component."""

    evaluations: int
    fun: float
    gradient: float


class Carried(NamedTuple):
    """What a run goes on from: what the lane of the run before knew at its end."""

    steps: int = 0
    fall: float = 0.0
    largest: float = 0.0
    first: float = 0.0
    decrease: float = 0.0
    has_moved: bool = False


NOTHING = Carried()
"""A run that begins."""


@dataclass(eq=False)
class Lane:
    """One run among several: where it is in its search, and what it has used."""

    index: int
    f: float
    size: float
    largest: float = 0.0
    first: float = 0.0
    decrease: float = 0.0
    """By how much the last step lowered the objective."""
    slope: float = 0.0
    visible: float = 0.0
    alpha: float = 0.0
    promise: float = math.inf
    """The decrease that the parabola through a point of this search promised, at the most."""
    crawled: int = 0
    """Steps in a row that did little: lowered the objective so, or neither that nor the gradient."""
    has_moved: bool = False
    """Whether there was a step, whose decrease is known."""
    converging: bool = False
    """Whether gradient and decrease are small."""
    searching: Searching | None = None
    best_alpha: float = 0.0
    best_f: float = 0.0
    best_size: float = 0.0
    steps: int = 0
    """Steps since the direction began again."""
    fall: float = 0.0
    """α·φ′(0) of the last step."""
    iterations: int = 0
    evaluations: int = 1
    status: Status | None = None
    history: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place = self.index  # among the lanes that go on
        self.first, self.largest = self.f, self.size
        self.history.append(Record(self.evaluations, self.f, self.size))

    def go_on(self, before: Carried) -> None:
        """Take over what a run before has left, if there was one."""
        if before is NOTHING:
            return
        self.steps, self.fall = before.steps, before.fall
        self.first, self.decrease = before.first, before.decrease
        self.largest = max(self.largest, before.largest)
        self.has_moved = before.has_moved

    def aim(self, searching: Searching, slope: float, dtype: torch.dtype) -> None:
        """Begin a search along a direction with this slope."""
        self.searching, self.slope = searching, slope
        self.best_alpha, self.best_f, self.best_size = 0.0, self.f, self.size
        self.promise, self.visible = math.inf, VISIBLE * torch.finfo(dtype).eps * abs(self.f)
        self.alpha = next(searching)

    def tell(self, f: float, slope: float) -> Found | None:
        """Send what is at α; return what the search found if that ends it, or else have the next α."""
        assert self.searching is not None
        rise = f - self.f
        if rise > self.visible and math.isfinite(rise):
            fall = self.alpha * self.slope
            promise = fall * fall / (4 * (rise - fall))
            # A smooth objective promises the same at each; at a jump shorter steps promise ever less.
            self.promise = promise if math.isinf(self.promise) else max(self.promise, promise)
        try:
            self.alpha = self.searching.send((f, slope))
        except StopIteration as end:
            found: Found = end.value
            return found
        return None

    def arrive(self) -> None:
        """Take the best point of the search for the present one."""
        self.decrease = self.f - self.best_f
        little = self.decrease <= LITTLE * self.promise < math.inf
        little = little or (self.decrease <= 0 and self.best_size >= self.size)
        self.crawled = self.crawled + 1 if little else 0
        self.f, self.size = self.best_f, self.best_size
        self.largest = max(self.largest, self.size)
        self.fall = self.best_alpha * self.slope
        self.has_moved = True
        self.steps += 1
        self.iterations += 1
        self.history.append(Record(self.evaluations, self.f, self.size))

    def judge(self, stop: Stop, dtype: torch.dtype) -> None:
        """Set why the run ends at the present point, if it does."""
        if self.status is not None:
            return
        if not (math.isfinite(self.f) and math.isfinite(self.size)):
            self.status = Status.UNDEFINED
        elif self.size == 0:
            self.status = Status.CONVERGED
        elif self.f < -FALLEN * max(1.0, abs(self.history[0].fun)):
            self.status = Status.UNBOUNDED
        else:
            self.converging = self.has_moved and stop.converged(self, dtype)
            self.status = stop.spent(self.iterations, self.evaluations)
