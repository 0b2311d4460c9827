"""One step of L-BFGS: iterations in PyTorch's order, with a way back where PyTorch has none."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.optim.solvers.closure import Closure, Evaluated
from thalweg.optim.solvers.flat import Flat
from thalweg.optim.solvers.memory import Memory
from thalweg.optim.solvers.outcome import StepResult
from thalweg.optim.solvers.strong_wolfe import StrongWolfe
from thalweg.solvers.stop import Status

_BACK = 0.2
"""How much of a step is left, where the objective is not defined at its end."""


@dataclass(frozen=True)
class LBFGSSettings:
    """The entries of the param groups."""

    lr: float
    max_iter: int
    max_eval: int
    tolerance_grad: float
    tolerance_change: float
    history_size: int
    search: bool


class LBFGSRun:
    """The iterations of one step; `x` is where the parameters are, or were before the search under way."""

    def __init__(
        self, flat: Flat, closure: Closure, memory: Memory, settings: LBFGSSettings
    ) -> None:
        self.flat, self.closure, self.memory, self.settings = flat, closure, memory, settings
        self.x = self.start = flat.point()
        self.known: dict[float, Evaluated] = {}
        """What is known along the present direction; nothing between two searches."""
        self.iterations = 0
        self.f = float("nan")

    def run(self) -> StepResult:
        """Take the step, and return why it ended."""
        here = self._first()
        self.f = here.f
        if not here.defined:
            return self._result(Status.UNDEFINED)
        if self._small(here.g):
            return self._result(Status.CONVERGED)
        if self.settings.lr == 0 and self.settings.search:
            return self._result(Status.STOPPED)
        while self.iterations < self.settings.max_iter:
            self.iterations += 1
            self.memory.n_iter += 1
            slope = self._aim(here)
            if slope > -self.settings.tolerance_change:
                return self._result(
                    Status.CONVERGED,
                    "Converged: along the direction the loss falls by less than tolerance_change.",
                )
            before = here.f
            self.known = {0.0: here}
            here, end = self._search(here, slope) if self.settings.search else self._move(here)
            self.known, self.f = {}, here.f
            end = end or self._end(here, before)
            if end is not None:
                return end
        return self._result(Status.ITERATIONS)

    def fall_back(self) -> bool:
        """Go to the lowest point of a step that an exception ended; return whether that is a new one.

        The memory then holds the step that leads there.
        """
        if self.known:
            defined = [alpha for alpha, at in self.known.items() if at.defined]
            self.memory.t = min(defined, key=lambda alpha: self.known[alpha].f)
            self.x, self.f = self._at(self.x, self.memory.t), self.known[self.memory.t].f
        self.flat.put(self.x)
        return not torch.equal(self.x, self.start)

    def _first(self) -> Evaluated:
        """Evaluate where the parameters are; go back where the last step has led to nothing defined."""
        memory = self.memory
        here = self.closure.here()
        while not here.defined and memory.origin is not None:
            assert memory.d is not None
            memory.t *= _BACK
            self.x = memory.origin.add(memory.d, alpha=memory.t)
            if torch.equal(self.x, memory.origin):
                memory.origin = None
            self.flat.put(self.x)
            if self._spent():
                return here
            here = self.closure.here()
        memory.origin = None
        return here

    def _aim(self, here: Evaluated) -> float:
        """Set the direction and the first step length; return the slope along it."""
        memory, g = self.memory, here.g
        begins = memory.d is None or memory.n_iter == 1
        if begins:
            memory.forget()
            d = g.neg()
        else:
            memory.learn(g, here.absent, self.settings.history_size, self.flat)
            d = self.flat.without(memory.direction(g), here.absent)
        slope = float(g.dot(d))
        if not slope < 0:  # rounding has spoilt the pairs
            memory.forget()
            d, begins = g.neg(), True
            slope = float(g.dot(d))
        length = min(1.0, 1.0 / float(g.abs().sum())) if begins else 1.0
        memory.d, memory.t = d, length * self.settings.lr
        memory.g, memory.f, memory.absent = g, here.f, here.absent
        return slope

    def _move(self, here: Evaluated) -> tuple[Evaluated, StepResult | None]:
        """Move by the whole step; go back as long as nothing is defined there."""
        memory = self.memory
        start = self.x
        self._put(start, memory.t)
        if self.iterations == self.settings.max_iter or self._spent():
            memory.origin = start
            self.x = self._at(start, memory.t)
            return here, None
        found = self.closure.here()
        while not found.defined and not self._spent():
            memory.t *= _BACK
            self._put(start, memory.t)
            found = self.closure.here()
        if found.defined:
            self.x = self._at(start, memory.t)
            return found, None
        memory.t = 0.0
        self.flat.put(start)
        return here, self._result(Status.STALLED)

    def _search(self, here: Evaluated, slope: float) -> tuple[Evaluated, StepResult | None]:
        """Move to the point that a line search finds, the lowest one that is good enough."""
        memory, start = self.memory, self.x
        assert memory.d is not None
        search = StrongWolfe(
            here.f,
            slope,
            memory.t,
            size=float(memory.d.abs().max()),
            narrow=self.settings.tolerance_change,
            most=self.settings.max_eval - self.closure.count,
        )
        points = search.run()
        found = None
        asked = next(points, None) if search.left > 0 else None
        while found is None and asked is not None:
            self._put(start, asked)
            there = self.closure.here()
            along = float(there.g.dot(memory.d)) if there.defined else float("nan")
            self.known[asked] = there
            try:
                asked = points.send((there.f, along))
            except StopIteration as end:
                found = end.value
            if found is None:
                self.known = {a: at for a, at in self.known.items() if a in search.alive}
        known, self.known = self.known, {}
        memory.t = 0.0 if found is None else found.alpha
        self.x = self._at(start, memory.t)
        self.flat.put(self.x)
        if memory.t == 0.0:
            spent = Status.EVALUATIONS if self._spent() else Status.STALLED
            return here, self._result(spent)
        return known[memory.t], None

    def _at(self, start: Tensor, t: float) -> Tensor:
        assert self.memory.d is not None
        return start.add(self.memory.d, alpha=t) if t else start

    def _put(self, start: Tensor, t: float) -> None:
        self.flat.put(self._at(start, t))

    def _end(self, here: Evaluated, before: float) -> StepResult | None:
        """Return why the step ends here, if it does."""
        settings, memory = self.settings, self.memory
        assert memory.d is not None
        if memory.origin is None and self._small(here.g):
            return self._result(Status.CONVERGED)
        if self.iterations == settings.max_iter:
            return self._result(Status.ITERATIONS)
        if self._spent():
            return self._result(Status.EVALUATIONS)
        if float(memory.d.abs().max()) * memory.t <= settings.tolerance_change:
            return self._result(
                Status.CONVERGED, "Converged: the last step was within tolerance_change."
            )
        if abs(here.f - before) < settings.tolerance_change:
            return self._result(
                Status.CONVERGED, "Converged: the loss changed by less than tolerance_change."
            )
        return None

    def _small(self, g: Tensor) -> bool:
        return float(g.abs().max()) <= self.settings.tolerance_grad

    def _spent(self) -> bool:
        return self.closure.count >= self.settings.max_eval

    def _result(self, status: Status, message: str = "") -> StepResult:
        return StepResult(status, self.f, self.iterations, self.closure.count, 0, message)
