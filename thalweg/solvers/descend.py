"""The loop of direction and line search, for several runs at once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.bounds import Bounds, FreeModel
from thalweg.solvers.direction.direction import Direction
from thalweg.solvers.lane import Lane
from thalweg.solvers.lanes import dot, largest, put, take
from thalweg.solvers.runs import Callback, Objective, Runs
from thalweg.solvers.search.search import LineSearch
from thalweg.solvers.stop import Status, Stop

_CAREFUL = 0.3
"""How far the very first step goes, in lengths of x."""


class Descent(Runs):
    """Runs that go down along directions, each lane in its own search."""

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
        super().__init__(
            objective, x.clone() if bounds is None else bounds.project(x), stop, callback
        )
        self.direction, self.search, self.bounds = direction, search, bounds

    def _begin(self) -> None:
        self.best_x, self.best_g = self.x, self.g
        self.state = self.direction.init(self.x, self.g)
        self.d = torch.zeros_like(self.g)
        self._leave()
        self._aim(self.lanes)

    def _tick(self) -> None:
        """Evaluate one point of each lane; lanes whose search ends there move, and aim anew."""
        trial = self._trial()
        f, g = self.objective.evaluate(trial)
        figures = torch.stack(
            [f.double(), self._slopes(trial, g).double(), self._sizes(trial, g).double()]
        )
        ended: list[int] = []
        better: list[int] = []
        for place, (lane, *here) in enumerate(zip(self.lanes, *figures.tolist(), strict=True)):
            done, best = self._told(lane, *here)
            ended += [place] if done else []
            better += [place] if best else []
        self._choose(better, trial, g)
        if ended:
            self._arrive(ended)

    def lowest(self, lane: Lane) -> tuple[Tensor, Tensor]:
        """Return the lowest point of a lane that goes on, that of its search included."""
        if lane.best_alpha > 0 and lane.best_f < lane.f:
            lane.f, lane.size = lane.best_f, lane.best_size
            return self.best_x[lane.place], self.best_g[lane.place]
        return super().lowest(lane)

    def _told(self, lane: Lane, f: float, slope: float, size: float) -> tuple[bool, bool]:
        """Tell a search what it asked for; return whether it ends there, and whether that is its best."""
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

    def _arrive(self, ended: list[int]) -> None:
        """Move the lanes at these places to the best points of their searches, and aim them anew."""
        lanes = [self.lanes[place] for place in ended]
        moved = [place for place in ended if self.lanes[place].best_alpha > 0]
        if moved:
            self._move(moved)
        for lane in lanes:
            if lane.best_alpha > 0:
                lane.arrive()
                lane.judge(self.stop, self.x.dtype)
            elif lane.status is None:
                lane.status = self.stop.spent(lane.iterations, lane.evaluations)
                self._begin_anew(lane)
        self._call(lanes)
        self._leave()
        self._aim([lane for lane in lanes if lane.status is None])

    def _move(self, places: list[int]) -> None:
        """Set x and g of these lanes, and show the direction the steps."""
        at = self._places(places)
        x, g = take((self.best_x, self.best_g), at)
        x_before, g_before = take((self.x, self.g), at)
        part, step = take(self.state, at), x - x_before
        if self.bounds is None or not self.direction.learns:
            part = self.direction.update(part, step, g - g_before)
        else:
            both = self.bounds.free(x_before, g_before) & self.bounds.free(x, g)
            part = self._learnt(part, step * both, g_before * both, g * both)
        self.state = put(self.state, at, part)
        self._go_to(at, x, g)

    def _learnt(self, part: Any, step: Tensor, g_before: Tensor, g: Tensor) -> Any:
        """Return a state that has learnt of a step from the parameters that were free before it and after.

        A direction takes g − g₋ for what changed since its last proposal, so it has to have seen both.
        """
        model = self.objective.model(self.x)
        _, part = self.direction.propose(part, g_before, model)
        part = self.direction.update(part, step, g - g_before)
        return self.direction.propose(part, g, model)[1]

    def _begin_anew(self, lane: Lane) -> None:
        """Forget what a direction has learnt, as it led to no lower point; give up if that is nothing."""
        if lane.status is None and lane.steps == 0:
            turned = float(((self.x * self._followed(self.x, self.g))[lane.place]).abs().max())
            lane.status = self.stop.verdict(lane, lane.promise, turned, self.x.dtype)
        lane.steps, lane.fall = 0, 0.0
        at = self._places([lane.place])
        # of all lanes: states of fewer may have other shapes
        anew = self.direction.init(self.x, self.g)
        self.state = put(self.state, at, take(anew, at))

    def _aim(self, lanes: list[Lane]) -> None:
        """Give these lanes a direction and begin their searches."""
        if not lanes:
            return
        at = self._places([lane.place for lane in lanes])
        x, g = take((self.x, self.g), at)
        d, downhill, part = self._proposed(take(self.state, at), x, g)
        slopes = dot(d, g)[:, 0].tolist()
        falls = [-math.inf < slope < 0 for slope in slopes]
        if not all(falls):
            d = torch.where(torch.tensor(falls, device=d.device)[:, None], d, downhill)
            slopes = dot(d, g)[:, 0].tolist()
        self.state = put(self.state, at, part)
        self.d = put((self.d,), at, (d,))[0]
        natural = [
            kept and self.direction.natural(lane.steps)
            for lane, kept in zip(lanes, falls, strict=True)
        ]
        lengths = self._lengths(lanes, natural, x, d)
        turned = (
            largest(x * downhill).tolist() if any(lane.converging for lane in lanes) else lengths
        )
        for lane, slope, usual, length, turn in zip(
            lanes, slopes, natural, lengths, turned, strict=True
        ):
            expected = -slope / 2 if usual else None
            if not -math.inf < slope < 0:  # the square of the gradient is below the smallest number
                lane.status = self.stop.verdict(lane, math.inf, turn, self.x.dtype)
            elif lane.converging and self.stop.leaves_it(lane, expected, turn, self.x.dtype):
                lane.status = Status.CONVERGED
            else:
                first = 1.0 if usual else self._first(lane, slope, length)
                lane.aim(self.search(lane.f, slope, first), slope, self.x.dtype)
        self._leave()

    def _lengths(self, lanes: list[Lane], natural: list[bool], x: Tensor, d: Tensor) -> list[float]:
        """Return how many times the largest part of d goes into that of x, where a first step needs it."""
        if all(usual or lane.fall for lane, usual in zip(lanes, natural, strict=True)):
            return [0.0] * len(lanes)
        pairs = zip(largest(x).tolist(), largest(d).tolist(), strict=True)
        return [far / reach if reach else 0.0 for far, reach in pairs]

    def _proposed(self, part: Any, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Any]:
        """Return the direction, −g of the parameters that may follow it, and the state."""
        model = self.objective.model(x)
        if self.bounds is None:
            d, part = self.direction.propose(part, g, model)
            return d, -g, part
        free = self.bounds.free(x, g)
        d, part = self.direction.propose(part, g * free, FreeModel(model, free))
        d = d * free
        if not self.direction.natural(1):
            return d, -g * free, part
        # What the step would carry beyond its bound goes to the bound, and the others without it.
        target = self.bounds.project(x + d)
        stopped = free & (target != x + d) & (d * g < 0)
        if bool(stopped.any()):
            others = free & ~stopped
            rest, part = self.direction.propose(part, g * others, FreeModel(model, others))
            d = torch.where(stopped, target - x, rest * others)
        return d, -g * free, part

    def _first(self, lane: Lane, slope: float, lengths: float) -> float:
        """Return the first step length to try where 1 is not the expected one."""
        if lane.fall:  # the decrease to first order is expected to be that of the last step
            return lane.fall / slope
        if lengths > 0:
            return _CAREFUL * lengths
        return _CAREFUL * abs(lane.f / slope) if lane.f else 1.0

    def _keep(self, at: Tensor) -> None:
        self.d, self.best_x, self.best_g = take((self.d, self.best_x, self.best_g), at)
        self.state = take(self.state, at)

    def _trial(self) -> Tensor:
        """Return the points that the searches ask for."""
        if len(self.lanes) == 1:
            trial = torch.add(self.x, self.d, alpha=self.lanes[0].alpha)
        else:
            trial = self.x + self.x.new_tensor([[lane.alpha] for lane in self.lanes]) * self.d
        return trial if self.bounds is None else self.bounds.project(trial)

    def _slopes(self, x: Tensor, g: Tensor) -> Tensor:
        """Return the slopes along the directions, in which a parameter at its bound goes no further."""
        if self.bounds is None:
            return dot(g, self.d)[:, 0]
        return dot(g, self.d * self.bounds.open(x, self.d))[:, 0]

    def _sizes(self, x: Tensor, g: Tensor) -> Tensor:
        return largest(self._followed(x, g))

    def _followed(self, x: Tensor, g: Tensor) -> Tensor:
        """Return the gradient of the parameters that may follow it, and zeros."""
        return g if self.bounds is None else torch.where(self.bounds.free(x, g), g, 0.0)

    def _choose(self, places: list[int], x: Tensor, g: Tensor) -> None:
        """Take points and gradients for the best of their searches at these places."""
        if places:
            at = self._places(places)
            self.best_x, self.best_g = put((self.best_x, self.best_g), at, take((x, g), at))
