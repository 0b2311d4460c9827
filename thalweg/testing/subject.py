"""The optimizer under test, and runs of it on a problem whose every gradient is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from thalweg.testing.compare import Path, rounding, snapshot
from thalweg.testing.result import Skipped

Factory = Callable[[Any], Optimizer]
Shape = tuple[int, ...]
Closure = Callable[[], Tensor]

SHAPES: tuple[Shape, ...] = ((4, 3), (37,), (2, 3, 2, 2))
"""A matrix, a vector that overflows the 32 bfloat16 of a register, and a convolution's kernel."""
LONGEST = 100
"""The most steps that an optimizer may leave its parameters where they are; RAdam does for five."""
MATRICES: tuple[Shape, ...] = ((4, 3), (3, 5), (2, 2))
"""For optimizers that take matrices only, as Muon does."""


@dataclass(frozen=True)
class QuadraticProblem:
    """The problem of one parameter: its start, and the loss ½·a·(p − cₖ)² with cₖ = c·(1 + ½·sin k)."""

    start: Tensor
    curvature: Tensor
    target: Tensor

    def loss(self, p: Tensor, k: int) -> Tensor:
        """Return this parameter's loss at step k: it depends on no other parameter."""
        target = self.target * (1 + 0.5 * math.sin(k))
        return 0.5 * (self.curvature * (p - target).square()).sum()


@lru_cache(maxsize=256)
def make_quadratic(index: int, shape: Shape, dtype: torch.dtype) -> QuadraticProblem:
    """Return the problem of a parameter, the same for the same arguments."""
    source = torch.Generator().manual_seed(index)

    def draw() -> Tensor:
        return torch.rand(shape, generator=source, dtype=torch.float64)

    start, curvature, target = 2 * draw() - 1, 0.5 + draw(), 2 * draw() - 1
    target = target + 2 * torch.sign(target - start)  # no gradient is near zero during a run
    return QuadraticProblem(start.to(dtype), curvature.to(dtype), target.to(dtype))


@dataclass(frozen=True)
class Subject:
    """The optimizer under test, and how it is to be run.

    Attributes:
        factory: makes the optimizer of what `torch.optim` takes as `params`.
        dtype: of the parameters.
        shapes: of the three parameters.
        couples: whether the update of a tensor depends on other tensors.
        needs_closure: whether `step` has to be given a closure.
        sparse: whether gradients have to be sparse.
        trains: whether `optimizer.train()` has to be called before the first step.
        silent: how many first steps leave parameters where they are, by design.
        still: whether it never moved all of its parameters.
        precision: the dtype of the fewest digits that it computes in; by default that of the parameters.
        repeatable: whether the same run gives the same bits.
        random: whether it draws random numbers.
        coupling: where a tensor trains otherwise beside others than alone, if it does.
        notes: how it is run where that is not the usual way.
    """

    factory: Factory
    dtype: torch.dtype
    shapes: tuple[Shape, ...] = SHAPES
    couples: bool = False
    needs_closure: bool = False
    sparse: bool = False
    trains: bool = False
    silent: int = 0
    still: bool = False
    precision: torch.dtype | None = None
    repeatable: bool = True
    random: bool = False
    coupling: str | None = None
    notes: tuple[str, ...] = field(default=())

    def start(
        self,
        indices: Iterable[int] = (0, 1, 2),
        *,
        pack: Callable[[list[nn.Parameter]], Any] = list,
        arrange: Callable[[Tensor], Tensor] = torch.clone,
        values: Mapping[int, Tensor] | None = None,
    ) -> OptimizerRun:
        """Return a run with new parameters and a new optimizer.

        Args:
            indices: which parameters of the problem it has.
            pack: makes of the parameters what the factory is given.
            arrange: lays out the values of a parameter in memory.
            values: where the parameters start, by index; by default where the problem says.
        """
        quadratics = {i: make_quadratic(i, self.shapes[i], self.dtype) for i in indices}
        first = {i: q.start if values is None else values[i] for i, q in quadratics.items()}
        params = {i: nn.Parameter(arrange(value.detach())) for i, value in first.items()}
        optimizer = self.factory(pack(list(params.values())))
        if self.trains:
            optimizer.train()  # type: ignore[attr-defined]
        for group in optimizer.param_groups if isinstance(optimizer, Optimizer) else ():
            if isinstance(
                group.get("lr"), Tensor
            ):  # schedulers write into it, and runs may share it
                group["lr"] = group["lr"].clone()
        return OptimizerRun(self, quadratics, params, optimizer)

    @property
    def tolerance(self) -> float:
        """How far runs may be apart that may round otherwise."""
        return rounding(self.precision or self.dtype)

    def steps(self, count: int) -> range:
        """Return the first steps up to `count` of those that move parameters."""
        return range(self.silent + count)

    def demand_separate(self) -> None:
        """Skip the check if the update of a tensor depends on the others."""
        if self.couples:
            raise Skipped("the update of a tensor depends on the others (couples=True)")
        if self.coupling is not None:
            raise Skipped("the update of a tensor depends on the others (see `alone`)")

    def with_shapes(self, shapes: Sequence[Shape]) -> Subject:
        """Return the same subject on parameters of other shapes."""
        return replace(self, shapes=tuple(shapes))

    def with_dtype(self, dtype: torch.dtype) -> Subject:
        """Return the same subject on parameters of another dtype."""
        return replace(self, dtype=dtype, precision=None)


def seed(k: int) -> None:
    """Seed every global generator that an optimizer may draw from on the CPU.

    `torch.manual_seed` takes a millisecond to seed every device.
    """
    torch.default_generator.manual_seed(k)
    random.seed(k)
    np.random.seed(k)


class OptimizerRun:
    """One run of an optimizer on parameters of its own.

    Attributes:
        params: the parameters, by their index in the problem.
        optimizer: the optimizer.
        sign: factor of the loss.
        shape_gradient: makes of (index, gradient) the gradient that the optimizer meets.
        luck: added to the seeds of all steps.
    """

    def __init__(
        self,
        subject: Subject,
        quadratics: Mapping[int, QuadraticProblem],
        params: Mapping[int, Tensor],
        optimizer: Optimizer,
    ) -> None:
        self.subject = subject
        self.quadratics = quadratics
        self.params = dict(params)
        self.optimizer = optimizer
        self.sign = 1.0
        self.shape_gradient: Callable[[int, Tensor], Tensor] | None = None
        self.luck = 0

    def extend(self, index: int) -> Tensor:
        """Add one more parameter of the problem to the run, not to its optimizer; return it."""
        added = make_quadratic(index, self.subject.shapes[index], self.subject.dtype)
        self.quadratics = {**self.quadratics, index: added}
        self.params[index] = nn.Parameter(added.start.clone())
        return self.params[index]

    def clear(self) -> None:
        """Drop all gradients."""
        for p in self.params.values():
            p.grad = None

    def closure(
        self, k: int, used: Iterable[int] | None = None, losses: Sequence[Closure] | None = None
    ) -> Callable[[], Tensor]:
        """Return a closure for step k: it drops the gradients, makes new ones and returns the loss.

        Args:
            k: the step, from 0; the problem changes a little from step to step.
            used: the parameters that get a gradient, by default all.
            losses: takes the place of the problem's loss; the gradients of several add up.
        """
        indices = list(self.params) if used is None else list(used)
        summands = losses if losses is not None else [lambda: self._loss(k, indices)]

        def evaluate() -> Tensor:
            self.clear()
            total = torch.zeros((), dtype=self.subject.dtype)
            for loss in summands:
                value = loss()
                value.backward()  # type: ignore[no-untyped-call]
                total = total + value.detach()
            self.finish_gradients()
            return total

        return evaluate

    def _loss(self, k: int, indices: Sequence[int]) -> Tensor:
        terms = [self.quadratics[i].loss(self.params[i], k) for i in indices]
        return self.sign * torch.stack(terms).sum()

    def finish_gradients(self) -> None:
        """Give the gradients the form that the optimizer is to meet."""
        for i, p in self.params.items():
            if p.grad is not None and self.shape_gradient is not None:
                p.grad = self.shape_gradient(i, p.grad)
            if p.grad is not None and self.subject.sparse:
                p.grad = p.grad.to_sparse()

    def call(self, closure: Callable[[], Tensor]) -> Any:
        """Make the gradients and step, with the closure only where the optimizer needs one."""
        with torch.enable_grad():  # whatever mode the last step has left
            closure()
        if self.subject.needs_closure:
            return self.optimizer.step(closure)  # type: ignore[arg-type]
        return self.optimizer.step()

    def step(
        self, k: int, used: Iterable[int] | None = None, losses: Sequence[Closure] | None = None
    ) -> None:
        """Do step k; a random number drawn in it is the same in every run."""
        seed(k + self.luck)
        self.call(self.closure(k, used, losses))

    def run(self, steps: Iterable[int], used: Iterable[int] | None = None) -> Path:
        """Do these steps, and return the trajectory."""
        path: Path = {}
        kept = None if used is None else list(used)
        for k in steps:
            self.step(k, kept)
            path |= self.here(k)
        return path

    def here(self, k: int) -> Path:
        """Return copies of the parameters as they are now, as a trajectory of step k alone."""
        return {(k, i): p.detach().clone() for i, p in self.params.items()}

    def state(self, index: int) -> dict[str, Any]:
        """Return a copy of the state of a parameter; empty where there is none."""
        state: dict[str, Any] = snapshot(self.optimizer.state.get(self.params[index], {}))
        return state

    def states(self) -> dict[int, dict[str, Any]]:
        """Return copies of the states of all parameters."""
        return {i: self.state(i) for i in self.params}

    @property
    def lr(self) -> Any:
        """The learning rate of the first group, None where groups have none."""
        return self.optimizer.param_groups[0].get("lr")

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of every group by hand."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
