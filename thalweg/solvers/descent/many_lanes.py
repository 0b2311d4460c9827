"""What a solver knows of several runs, in arrays with a number for each; `Lane` says what they mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.solvers.lane import CAREFUL, CRAWL, FALLEN, LITTLE, VISIBLE, Lane, Record
from thalweg.solvers.search.cubic import Sample
from thalweg.solvers.search.search import LineSearch, Searching
from thalweg.solvers.stop import Status, Stop

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]

_KEPT = (
    *("index", "f", "size", "largest", "first", "decrease", "slope", "visible", "alpha", "promise"),
    *("has_moved", "converging", "is_first", "best_alpha", "best_f", "best_size", "steps", "fall"),
    *("crawled", "iterations", "evaluations", "status"),
)
_STATUSES = tuple(Status)
_GOING = -1
_silent = np.errstate(all="ignore")
"""What is computed for lanes that are then masked may be anything."""


class ManyLanes:
    """Several runs, each in its own search; the methods are those of `Lane`, for lanes in a mask at once.

    A search whose first point is accepted is never begun: whether it is, is computed for all of them.
    """

    def __init__(self, f: Floats, size: Floats, stop: Stop, dtype: torch.dtype) -> None:
        self.stop, self.dtype, self.eps = stop, dtype, float(torch.finfo(dtype).eps)
        k = len(f)
        self.index = np.arange(k)
        self.f, self.size, self.first, self.largest = f, size, f, size
        self.decrease, self.slope, self.visible, self.alpha, self.promise = np.zeros((5, k))
        self.best_alpha, self.best_f, self.best_size, self.fall = np.zeros((4, k))
        flags: Any = np.zeros((3, k), dtype=bool)
        self.has_moved, self.converging, self.is_first = flags
        self.steps, self.iterations, self.crawled = np.zeros((3, k), dtype=int)
        self.evaluations = np.ones(k, dtype=int)
        self.status = np.full(k, _GOING)  # a place in _STATUSES
        self.searches: dict[int, Searching] = {}  # by index
        self.ended: list[Lane | None] = [None] * k
        self._history: list[tuple[Any, ...]] = [(self.index, self.evaluations.copy(), f, size)]

    def __len__(self) -> int:
        return len(self.f)

    @property
    def going(self) -> Flags:
        """Which lanes have not ended."""
        going: Flags = self.status == _GOING
        return going

    def end(self, which: Flags, status: Status) -> None:
        """Set why these lanes end, of those that have not ended."""
        if which.any():
            self.status[which & self.going] = _STATUSES.index(status)

    @_silent
    def tell(
        self, search: LineSearch, f: Floats, slope: Floats, size: Floats
    ) -> tuple[Flags, Flags]:
        """Send to all searches what is at α; return which end, and for which that is their best point."""
        self.evaluations += 1
        self.end(f == -math.inf, Status.UNBOUNDED)
        defined = np.isfinite(f) & np.isfinite(size)
        if not defined.all():
            f, slope = np.where(defined, f, math.nan), np.where(defined, slope, math.nan)
        self._see(f - self.f)
        tried = self.alpha
        start: Any = 0.0, self.f, self.slope
        point: Any = tried, f, slope
        accepted = self.is_first & search.accepts(Sample(*start), Sample(*point))
        ended = accepted.copy()
        if not accepted.all():
            self._send(search, f, slope, accepted, ended)
        best = accepted | (f < self.best_f)
        self.best_alpha = np.where(best, tried, self.best_alpha)
        self.best_f = np.where(best, f, self.best_f)
        self.best_size = np.where(best, size, self.best_size)
        if self.stop.max_evals is not None:
            ended |= self.evaluations >= self.stop.max_evals
        return ended | ~self.going, best

    def _see(self, rise: Floats) -> None:
        """Take what parabolas promise whose points lie visibly higher."""
        seen = (rise > self.visible) & (rise < math.inf)
        if seen.any():
            fall = self.alpha * self.slope
            promise = fall * fall / (4 * (rise - fall))
            promise = np.where(np.isinf(self.promise), promise, np.fmax(self.promise, promise))
            self.promise = np.where(seen, promise, self.promise)

    def _send(
        self, search: LineSearch, f: Floats, slope: Floats, accepted: Flags, ended: Flags
    ) -> None:
        """Send to the searches whose points are not accepted at once, and note which end and how."""
        places = np.flatnonzero(~accepted)
        alphas = self.alpha[places].tolist()
        figures = self.index, self.is_first, self.f, self.slope, f, slope
        told = zip(*(figure[places].tolist() for figure in figures), strict=True)
        for n, (index, begins, *start, here, slope_here) in enumerate(told):
            tried = alphas[n]
            if begins:
                f_start, slope_start = start
                self.searches[index] = search(f_start, slope_start, tried)
                next(self.searches[index])
            try:
                alphas[n] = self.searches[index].send((here, slope_here))
            except StopIteration as end:
                found = end.value
                ended[places[n]] = True
                accepted[places[n]] = found.holds and found.alpha == tried
        self.alpha = self.alpha.copy()
        self.alpha[places] = alphas
        self.is_first[places] = False

    @_silent
    def arrive(self, moved: Flags) -> None:
        """Take the best points of these searches for the present ones."""
        self.decrease = np.where(moved, self.f - self.best_f, self.decrease)
        little = (self.decrease <= LITTLE * self.promise) & np.isfinite(self.promise)
        little |= (self.decrease <= 0) & (self.best_size >= self.size)
        self.crawled = np.where(moved, (self.crawled + 1) * little, self.crawled)
        self.f = np.where(moved, self.best_f, self.f)
        self.size = np.where(moved, self.best_size, self.size)
        self.largest = np.maximum(self.largest, self.size)
        self.fall = np.where(moved, self.best_alpha * self.slope, self.fall)
        self.has_moved |= moved
        self.steps += moved
        self.iterations += moved
        figures = self.index, self.evaluations, self.f, self.size
        self._history.append(tuple(figure[moved] for figure in figures))

    @_silent
    def judge(self, which: Flags) -> None:
        """Set why runs end at their present points, if they do."""
        finite = np.isfinite(self.f) & np.isfinite(self.size)
        self.end(which & ~finite, Status.UNDEFINED)
        self.end(which & (self.size == 0), Status.CONVERGED)
        fallen = self.f < -FALLEN * np.maximum(1.0, abs(self.first))
        self.end(which & fallen, Status.UNBOUNDED)
        small = self.has_moved & self.stop.converged(self, self.dtype)
        self.converging = np.where(which & self.going, small, self.converging)
        self.spend(which)

    def spend(self, which: Flags) -> None:
        """End the runs whose budgets are used up."""
        self.end(which & (self.iterations >= self.stop.max_iter), Status.ITERATIONS)
        if self.stop.max_evals is not None:
            self.end(which & (self.evaluations >= self.stop.max_evals), Status.EVALUATIONS)

    @_silent
    def begin_anew(self, which: Flags, turned: Floats) -> None:
        """Forget the steps of lanes that found no lower point, and give up where there were none."""
        given_up = which & self.going & (self.steps == 0)
        self.give_up(given_up, self.promise, turned)
        self.steps[which], self.fall[which] = 0, 0.0

    def crawls(self, which: Flags) -> Flags:
        """Return which of these lanes do little in many steps."""
        crawls: Flags = which & self.going & (self.crawled >= CRAWL)
        return crawls

    @_silent
    def give_up(self, which: Flags, promised: Floats | float, turned: Floats) -> None:
        """End these lanes, which find no lower point though a decrease was promised."""
        over = self.stop.is_over(self, promised, turned, self.dtype)
        self.end(which & over, Status.CONVERGED)
        self.end(which, Status.STALLED)

    @_silent
    def aim(
        self, which: Flags, slope: Floats, natural: Flags, lengths: Floats, turned: Floats
    ) -> None:
        """Begin searches along directions with these slopes, or end runs where that is not worth it."""
        falls = (slope > -math.inf) & (slope < 0)
        if not falls[which].all():
            self.give_up(which & ~falls, math.inf, turned)
        if self.converging.any():
            known = self.stop.leaves_it(self, -slope / 2, turned, self.dtype)
            unknown = self.stop.leaves_it(self, None, turned, self.dtype)
            leaves: Flags = self.converging & (natural & known | ~natural & unknown)
            self.end(which & leaves, Status.CONVERGED)
        first = np.where(natural, 1.0, self._first(slope, lengths))
        self.alpha, self.slope = np.where(which, (first, slope), (self.alpha, self.slope))
        self.best_alpha = np.where(which, 0.0, self.best_alpha)
        self.best_f = np.where(which, self.f, self.best_f)
        self.best_size = np.where(which, self.size, self.best_size)
        self.promise = np.where(which, math.inf, self.promise)
        self.visible = VISIBLE * self.eps * abs(self.f)  # which changes only where lanes move
        self.is_first |= which

    def _first(self, slope: Floats, lengths: Floats) -> Floats:
        """Return the first step lengths to try where 1 is not the expected one."""
        usual = np.where(self.f != 0, CAREFUL * abs(self.f / slope), 1.0)
        careful = np.where(lengths > 0, CAREFUL * lengths, usual)
        return np.where(self.fall != 0, self.fall / slope, careful)

    def leave(self, going: Flags) -> None:
        """Keep these lanes; of the others `ended` gets what they end with."""
        for place in np.flatnonzero(~going).tolist():
            lane = Lane(int(self.index[place]), float(self.f[place]), float(self.size[place]))
            lane.largest = float(self.largest[place])
            lane.iterations = int(self.iterations[place])
            lane.evaluations = int(self.evaluations[place])
            lane.status = _STATUSES[self.status[place]]
            self.ended[lane.index] = lane
            self.searches.pop(lane.index, None)
        for name in _KEPT:
            setattr(self, name, getattr(self, name)[going])

    def interrupt(self) -> Flags:
        """End all lanes at their lowest points; return which of these are of the searches under way."""
        lower: Flags = (self.best_alpha > 0) & (self.best_f < self.f)
        self.f = np.where(lower, self.best_f, self.f)
        self.size = np.where(lower, self.best_size, self.size)
        self.end(self.going, Status.INTERRUPTED)
        self.leave(self.going)
        return lower

    def lanes(self) -> list[Lane]:
        """Return what all runs ended with, with their histories."""
        index, *figures = map(np.concatenate, zip(*self._history, strict=True))
        order = np.argsort(index, kind="stable")
        told = zip(*(figure[order].tolist() for figure in figures), strict=True)
        records = list(map(Record._make, told))
        lanes, begin = [], 0
        for lane, count in zip(self.ended, np.bincount(index).tolist(), strict=True):
            assert lane is not None
            lane.history = records[begin : begin + count]
            lanes.append(lane)
            begin += count
        return lanes
