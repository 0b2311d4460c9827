"""The loop of a trust region, for several runs at once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.lane import Lane
from thalweg.solvers.lanes import largest, take
from thalweg.solvers.objectives.unit import Unit
from thalweg.solvers.runs import Callback, Objective, Runs
from thalweg.solvers.stop import Status, Stop
from thalweg.solvers.trust.subproblem import Subproblem

_ACCEPT = 1e-4


class Region(Runs):
    """Runs that step to the lowest point of a model within a radius, which follows how good the model was.

    ρ is the actual decrease over the predicted one. A step is taken where ρ > 1e-4; the radius becomes a
    quarter of the step where ρ < ¼ or nothing is defined, twice the radius where ρ > ¾ at the boundary.

    Source: Nocedal and Wright, Numerical Optimization, algorithm 4.1.
    """

    def __init__(
        self,
        objective: Objective,
        x: Tensor,
        subproblem: Subproblem,
        stop: Stop,
        callback: Callback | None = None,
        radius: float | None = None,
        factor: float = 1.0,
        unit: Unit | None = None,
    ) -> None:
        super().__init__(objective, x.clone(), stop, callback)
        self.subproblem, self.first_radius, self.factor = subproblem, radius, factor
        self.unit = Unit() if unit is None else unit

    def _begin(self) -> None:
        self.at: Any = None
        self._leave()
        if self.lanes:
            self._prepare()
            self._widen()

    def _prepare(self) -> None:
        self.at = self.subproblem.prepare(self.at, self.g, self.objective.model(self.x))

    def _widen(self) -> None:
        """Set the first radius: as given, or `factor` times the length of x, of ones where x is zero.

        One below the rounding of x would move nothing.
        """
        lengths = self.subproblem.length(self.at, self.x).tolist()
        units = self.subproblem.length(self.at, torch.ones_like(self.x)).tolist()
        for lane, length, unit in zip(self.lanes, lengths, units, strict=True):
            usual = length or unit
            least = torch.finfo(self.x.dtype).eps * usual
            first = self.factor * usual if self.first_radius is None else self._given()
            lane.alpha = max(first, least)

    def _given(self) -> float:
        """Return the first radius as given, in the unit of the objective where lengths go by curvature."""
        assert self.first_radius is not None
        by_curvature = self.subproblem.by_curvature
        return self.first_radius * (math.sqrt(self.unit.c) if by_curvature else 1.0)

    def _tick(self) -> None:
        """Try one step of each lane; those that it takes down move."""
        radius = torch.tensor(
            [lane.alpha for lane in self.lanes], dtype=self.x.dtype, device=self.x.device
        )
        p, fall, length = self.subproblem.solve(self.at, radius[:, None])
        if any(lane.converging for lane in self.lanes) and self._ends(fall, length):
            return
        trial = self.x + p
        f, g = self.objective.evaluate(trial)
        lengths = (largest(p), largest(self.x), largest(self.x * self.g))
        rows = (f, largest(g), fall[:, 0], length[:, 0], *lengths)
        figures = torch.stack([row.double() for row in rows]).tolist()
        moved: list[int] = []
        for place, (lane, *here) in enumerate(zip(self.lanes, *figures, strict=True)):
            if self._told(lane, *here):
                moved.append(place)
        if moved:
            at = self._places(moved)
            self._go_to(at, *take((trial, g), at))
        self._call([self.lanes[place] for place in moved])
        left = self._leave()
        if self.lanes and (moved or left):
            self._prepare()

    def _ends(self, fall: Tensor, length: Tensor) -> bool:
        """Let the lanes leave whose steps are not worth an evaluation; return whether there were any."""
        figures = torch.stack([fall[:, 0], length[:, 0], largest(self.x * self.g)]).tolist()
        for lane, promised, far, turn in zip(self.lanes, *figures, strict=True):
            leaves = self.stop.leaves_it(lane, promised, turn, self.x.dtype)
            if lane.converging and far < lane.alpha and leaves:
                lane.status = Status.CONVERGED
        left = self._leave()
        if self.lanes and left:
            self._prepare()
        return left

    def _told(
        self,
        lane: Lane,
        f: float,
        size: float,
        fall: float,
        length: float,
        step: float,
        x: float,
        turn: float,
    ) -> bool:
        """Set a lane's radius by how well the model did; return whether it moves."""
        lane.evaluations += 1
        # a step that the radius cut says nothing of the point, and neither does one of length 0
        promised = fall if 0 < length < lane.alpha else math.inf
        if not math.isfinite(fall + length):  # squares of the numbers are beyond the dtype
            lane.status = self.stop.verdict(lane, math.inf, turn, self.x.dtype)
            return False
        defined = math.isfinite(f) and math.isfinite(size)
        if f == -math.inf:
            lane.status = Status.UNBOUNDED
            return False
        # what rounding hides cannot be compared with the actual decrease
        if self.stop.hides(fall, lane.f, self.x.dtype):
            moves = defined and f <= lane.f and size < lane.size
            if not moves:
                lane.status = self.stop.verdict(lane, promised, turn, self.x.dtype)
                return _ends_lower(lane, f, size)
            ratio = 1.0
        else:
            ratio = (lane.f - f) / fall if defined else -1.0
            moves = ratio > _ACCEPT
        if ratio < 0.25:
            lane.alpha = 0.25 * min(length, lane.alpha)
        elif ratio > 0.75 and length > 0.99 * lane.alpha:
            lane.alpha *= 2
        if moves:
            lane.best_alpha, lane.best_f, lane.best_size = 1.0, f, size
            lane.arrive()
            lane.judge(self.stop, self.x.dtype)
        elif step <= torch.finfo(self.x.dtype).eps * x:
            lane.status = self.stop.verdict(lane, promised, turn, self.x.dtype)
        else:
            lane.status = self.stop.spent(lane.iterations, lane.evaluations)
        return moves

    def _keep(self, at: Tensor) -> None:
        self.at = None if self.at is None else self.subproblem.leave(self.at, at)


def _ends_lower(lane: Lane, f: float, size: float) -> bool:
    """Move a lane that ends to the last point tried if that is lower; return whether it is."""
    lower = math.isfinite(f) and math.isfinite(size) and f < lane.f
    if lower:
        lane.best_alpha, lane.best_f, lane.best_size = 1.0, f, size
        lane.arrive()
    return lower
