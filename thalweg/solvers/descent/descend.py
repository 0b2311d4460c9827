"""The loop of direction and line search, for one run."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from thalweg.solvers.descent.bounded import Bounded
from thalweg.solvers.descent.bounds import Bounds
from thalweg.solvers.direction.direction import Direction
from thalweg.solvers.lane import CAREFUL, CRAWL, Lane
from thalweg.solvers.lanes import dot, largest
from thalweg.solvers.runs import Callback, Objective, Runs
from thalweg.solvers.search.search import LineSearch
from thalweg.solvers.stop import Status, Stop


class Descent(Runs):
    """A run that goes down along directions, each as far as a search goes; `x` is [1, n]."""

    def __init__(
        self,
        objective: Objective,
        x: Tensor,
        direction: Direction,
        search: LineSearch,
        stop: Stop,
        bounds: Bounds | None = None,
        callback: Callback | None = None,
    ) -> None:
        self.bounded = Bounded(direction, bounds)
        super().__init__(objective, self.bounded.inside(x.clone()), stop, callback)
        self.direction, self.search = direction, search

    def _begin(self) -> None:
        (self.lane,) = self.lanes
        self.best_x, self.best_g = self.x, self.g
        self.state = self.direction.init(self.x, self.g)
        if not self._leave():
            self._aim()

    def _tick(self) -> None:
        """Evaluate one point; where the search ends there, move, and aim again."""
        x = self.bounded.inside(torch.add(self.x, self.d, alpha=self.lane.alpha))
        f, g = self.objective.evaluate(x)
        rows = f, self.bounded.slopes(x, g, self.d), self._sizes(x, g)
        ends, best = self._told(*torch.cat(rows).double().tolist())
        if best:
            self.best_x, self.best_g = x, g
        if ends:
            self._arrive()

    def lowest(self, lane: Lane) -> tuple[Tensor, Tensor]:
        """Return the lowest point of the run while it goes on, that of its search included."""
        if lane.best_alpha > 0 and lane.best_f < lane.f:
            lane.f, lane.size = lane.best_f, lane.best_size
            return self.best_x[0], self.best_g[0]
        return super().lowest(lane)

    def _told(self, f: float, slope: float, size: float) -> tuple[bool, bool]:
        """Tell the search what it asked for; return whether it ends there, and whether that is its best."""
        lane = self.lane
        lane.evaluations += 1
        tried = lane.alpha
        if f == -math.inf:
            lane.status = Status.UNBOUNDED
        if not (math.isfinite(f) and math.isfinite(size)):
            f = slope = math.nan
        found = lane.tell(f, slope)
        accepted = found is not None and found.holds and found.alpha == tried
        best = accepted or f < lane.best_f
        if best:
            lane.best_alpha, lane.best_f, lane.best_size = tried, f, size
        spent = self.stop.spent(0, lane.evaluations) is not None
        return found is not None or spent or lane.status is not None, best

    def _arrive(self) -> None:
        """Move to the best point of the search, if it found one, and aim again."""
        lane = self.lane
        if lane.best_alpha > 0:
            before, model = (self.x, self.g), self.objective.model(self.x)
            self.x, self.g = after = self.best_x, self.best_g
            lane.arrive()
            self.state = self.bounded.update(self.state, before, after, model)
            lane.judge(self.stop, self.x.dtype)
            if lane.status is None and lane.crawled >= CRAWL:
                self._give_up(math.inf)  # short steps promise little at a jump, too
        elif lane.status is None:
            lane.status = self.stop.spent(lane.iterations, lane.evaluations)
            self._begin_anew()
        self._call(self.lanes)
        if not self._leave():
            self._aim()

    def _begin_anew(self) -> None:
        """Forget what the direction has learned, as it led to no lower point; give up if that is nothing."""
        lane = self.lane
        if lane.status is None and lane.steps == 0:
            self._give_up(lane.promise)
        lane.steps, lane.fall = 0, 0.0
        self.state = self.direction.init(self.x, self.g)

    def _give_up(self, promised: float) -> None:
        """End the run, whose searches find nothing, or little of what they promise."""
        turned = float(largest(self.x * self.bounded.followed(self.x, self.g)))
        self.lane.status = self.stop.verdict(self.lane, promised, turned, self.x.dtype)

    def _aim(self) -> None:
        """Find a direction and begin the search along it, or end the run where that is not worth it."""
        lane, dtype = self.lane, self.x.dtype
        model = self.objective.model(self.x)
        self.d, downhill, self.state = self.bounded.propose(self.state, self.x, self.g, model)
        slope = float(dot(self.d, self.g))
        natural = -math.inf < slope < 0
        if natural:
            natural = self.direction.natural(lane.steps)
        else:
            self.d = downhill
            slope = float(dot(self.d, self.g))
        falls = -math.inf < slope < 0
        if lane.converging or not falls:
            turned = float(largest(self.x * downhill))
            expected = -slope / 2 if natural else None
            if not falls:  # the square of the gradient is below the smallest number
                lane.status = self.stop.verdict(lane, math.inf, turned, dtype)
            elif self.stop.leaves_it(lane, expected, turned, dtype):
                lane.status = Status.CONVERGED
            if self._leave():
                return
        first = 1.0 if natural else self._first(slope)
        lane.aim(self.search(lane.f, slope, first), slope, dtype)

    def _first(self, slope: float) -> float:
        """Return the first step length to try where 1 is not the expected one."""
        lane = self.lane
        if lane.fall:  # the decrease to first order is expected to be that of the last step
            return lane.fall / slope
        far, reach = float(largest(self.x)), float(largest(self.d))
        lengths = far / reach if reach else 0.0
        if lengths > 0:
            return CAREFUL * lengths
        return CAREFUL * abs(lane.f / slope) if lane.f else 1.0

    def _keep(self, at: Tensor) -> None:
        """Nothing else is kept: a run that has ended was the only one."""

    def _sizes(self, x: Tensor, g: Tensor) -> Tensor:
        return self.bounded.sizes(x, g)
