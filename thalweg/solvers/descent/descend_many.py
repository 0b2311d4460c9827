"""The loop of direction and line search, for several runs at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.solvers.descent.bounded import Bounded
from thalweg.solvers.descent.bounds import Bounds
from thalweg.solvers.descent.many_lanes import Flags, Floats, ManyLanes, Places
from thalweg.solvers.direction.direction import Direction
from thalweg.solvers.lane import Lane
from thalweg.solvers.lanes import dot, largest, put, take
from thalweg.solvers.runs import Found, Objective
from thalweg.solvers.search.search import LineSearch
from thalweg.solvers.stop import Stop

Part = tuple[Tensor, Tensor, Any]
"""x, g and the direction's state of some lanes."""


class ManyDescents:
    """Runs that go down along directions, all evaluated together, each lane in its own search.

    `x` [lanes, n] and `g` hold the runs that go on; one that has ended leaves, and its point is written to
    `x_end`. Python's work for each lane is left to the searches that go on beyond their first point.
    """

    def __init__(
        self,
        objective: Objective,
        x: Tensor,
        direction: Direction,
        search: LineSearch,
        stop: Stop,
        bounds: Bounds | None = None,
    ) -> None:
        self.bounded = Bounded(direction, bounds)
        self.objective, self.direction, self.search = objective, direction, search
        self.stop, self.x = stop, self.bounded.inside(x.clone())
        self.x_end, self.g_end = torch.zeros_like(self.x), torch.zeros_like(self.x)
        none = np.zeros(0)
        self.lanes = ManyLanes(none, none, stop, x.dtype)  # before the first values

    def run(self) -> list[Lane]:
        """Run all lanes to their ends and return them, in their order."""
        f, self.g = self.objective.evaluate(self.x)
        self.best_x, self.best_g, self.d = self.x, self.g, torch.zeros_like(self.g)
        self.state: Any = self.direction.init(self.x, self.g)
        f_now, size = _numbers(f, self.bounded.sizes(self.x, self.g))
        self.lanes = ManyLanes(f_now, size, self.stop, self.x.dtype)
        self.lanes.judge(self.lanes.going)
        self._aim(*self._left(None, (self.x, self.g, self.state)))
        while len(self.lanes):
            self._tick()
        return self.lanes.lanes()

    def so_far(self) -> list[Found]:
        """Return each lane with its lowest point and the gradient there; those that go on are interrupted."""
        index, lower = self._tensor(self.lanes.index), self.lanes.interrupt()
        if len(index):
            points = self._where(lower, (self.best_x, self.best_g), (self.x, self.g))
            self.x_end[index], self.g_end[index] = points
        return list(zip(self.lanes.lanes(), self.x_end, self.g_end, strict=False))

    def _tick(self) -> None:
        """Evaluate one point of each lane; lanes whose search ends there move, and aim again."""
        alpha = self._tensor(self.lanes.alpha).to(self.x.dtype)
        x = self.bounded.inside(torch.addcmul(self.x, alpha[:, None], self.d))
        f, g = self.objective.evaluate(x)
        figures = _numbers(f, self.bounded.slopes(x, g, self.d), self.bounded.sizes(x, g))
        ended, best = self.lanes.tell(self.search, *figures)
        self.best_x, self.best_g = self._where(best, (x, g), (self.best_x, self.best_g))
        if ended.any():
            self._arrive(ended)

    def _arrive(self, ended: Flags) -> None:
        """Move lanes to the best points of their searches, if those found any, and aim them again."""
        lanes = self.lanes
        moved = ended & (lanes.best_alpha > 0)
        at, part = self._move(moved)
        lanes.judge(moved)
        crawls = lanes.crawls(moved)
        if crawls.any():
            lanes.give_up(crawls, math.inf, self._turned())  # promises of short steps are little
        failed = ended & ~moved & lanes.going
        if failed.any():
            self.state = put(self.state, self._index(at), part[2])
            self._begin_anew(failed)
            at = _places(moved | failed)
            part = take((self.x, self.g, self.state), self._index(at))
        self._aim(*self._left(at, part))

    def _move(self, moved: Flags) -> tuple[Places | None, Part]:
        """Move these lanes; return their places and parts, whose states have learned the steps."""
        at = _places(moved)
        x, g, best_x, best_g, state = take(
            (self.x, self.g, self.best_x, self.best_g, self.state), self._index(at)
        )
        self.x, self.g = self._where(moved, (self.best_x, self.best_g), (self.x, self.g))
        self.lanes.arrive(moved)
        if len(x):
            model = self.objective.model(x)
            state = self.bounded.update(state, (x, g), (best_x, best_g), model)
        return at, (best_x, best_g, state)

    def _begin_anew(self, failed: Flags) -> None:
        """Forget what directions have learned, as they led to no lower point; give up if that is nothing."""
        self.lanes.spend(failed)
        self.lanes.begin_anew(failed, self._turned())
        index = self._index(_places(failed))
        # of all lanes: states of fewer may have other shapes
        anew = self.direction.init(self.x, self.g)
        self.state = put(self.state, index, take(anew, index))

    def _turned(self) -> Floats:
        """Return the largest |xᵢgᵢ| of each lane, of parameters that may follow the gradient."""
        turned: Floats = _numbers(largest(self.x * self.bounded.followed(self.x, self.g)))[0]
        return turned

    def _aim(self, at: Places | None, part: Part) -> None:
        """Give the lanes at these places directions, and begin their searches."""
        x, g, state = part
        if not len(x):
            return
        lanes = self.lanes
        d, downhill, state = self.bounded.propose(state, x, g, self.objective.model(x))
        (slope,) = _numbers(dot(d, g)[:, 0])
        falls = (slope > -np.inf) & (slope < 0)
        if not falls.all():
            d = torch.where(self._tensor(falls)[:, None], d, downhill)
            (slope,) = _numbers(dot(d, g)[:, 0])
        self.state, self.d = put((self.state, self.d), self._index(at), (state, d))
        steps, fall, converging = (
            figure if at is None else figure[at]
            for figure in (lanes.steps, lanes.fall, lanes.converging)
        )
        direction: Any = self.direction  # whose rule for a number of steps is one for arrays, too
        natural = falls & direction.natural(steps)
        lengths = turned = np.zeros(len(slope))
        if not (natural | (fall != 0)).all():
            reach = largest(d)
            (lengths,) = _numbers(torch.where(reach != 0, largest(x) / reach, 0.0))
        if converging.any() or not (slope < 0).all():
            (turned,) = _numbers(largest(x * downhill))
        figures = (self._spread(at, row) for row in (slope, natural, lengths, turned))
        lanes.aim(self._spread(at, np.ones(len(slope), dtype=bool)), *figures)
        self._leave()

    def _left(self, at: Places | None, part: Part) -> tuple[Places | None, Part]:
        """Let the lanes that have ended leave; return the places and the part that are left."""
        going = self.lanes.going
        if going.all():
            return at, part
        if at is None:
            self.state = part[2]
            self._leave()
            return None, (self.x, self.g, self.state)
        self._leave()
        left = going[at]
        at = (np.cumsum(going) - 1)[at[left]]
        part = take(part, self._tensor(np.flatnonzero(left)))
        return (None if len(at) == len(self.lanes) else at), part

    def _leave(self) -> None:
        """Let the lanes that have ended leave, and keep their points."""
        going = self.lanes.going
        if going.all():
            return
        gone, kept = (self._tensor(np.flatnonzero(which)) for which in (~going, going))
        index = self._tensor(self.lanes.index)[gone]
        self.x_end[index], self.g_end[index] = self.x[gone], self.g[gone]
        everything = self.x, self.g, self.d, self.best_x, self.best_g, self.state
        self.x, self.g, self.d, self.best_x, self.best_g, self.state = take(everything, kept)
        self.lanes.leave(going)

    def _where(
        self, which: Flags, new: tuple[Tensor, Tensor], old: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return two tensors with these lanes new."""
        if which.all():
            return new
        mask = self._tensor(which)[:, None]
        return torch.where(mask, new[0], old[0]), torch.where(mask, new[1], old[1])

    def _spread(self, at: Places | None, figures: Any) -> Any:
        """Return figures of the lanes at these places as figures of all, zero elsewhere."""
        if at is None:
            return figures
        spread = np.zeros(len(self.lanes), dtype=figures.dtype)
        spread[at] = figures
        return spread

    def _index(self, at: Places | None) -> Tensor | None:
        return None if at is None else self._tensor(at)

    def _tensor(self, figures: Any) -> Tensor:
        return torch.from_numpy(figures).to(self.x.device)


def _places(which: Flags) -> Places | None:
    """Return the places of these lanes, None for all of them."""
    return None if which.all() else np.flatnonzero(which)


def _numbers(*rows: Tensor) -> Floats:
    """Return a row of float64 for each tensor; from a device they come at once."""
    figures: Floats = torch.stack(rows).double().cpu().numpy()
    return figures
