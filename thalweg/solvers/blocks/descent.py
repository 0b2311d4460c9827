"""Block coordinate descent on a smooth function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.blocks.partition import as_blocks, check_order, steepest_block
from thalweg.solvers.given import as_count, as_start, as_tolerance, check_function
from thalweg.solvers.lane import Record
from thalweg.solvers.minimize import minimize
from thalweg.solvers.objectives.objective import Counts, Function, ScalarObjective
from thalweg.solvers.result import Result
from thalweg.solvers.so_far import hand_over
from thalweg.solvers.stop import Status, Stop, message

Solve = Callable[[Tensor, Tensor], Tensor]
"""Takes a point in the shape of x0 and a block's indices into the flat point; returns its new values."""

_DENSE = 50
"""Blocks of at most so many entries are minimized by Newton's method, larger ones by L-BFGS."""
_INNER = 100
"""The most iterations on one block: the next sweep goes on from there."""


@torch.inference_mode(False)
def coordinate_descent(
    fun: Function,
    x0: Any,
    blocks: Any = None,
    *,
    order: str = "cyclic",
    solve: Solve | None = None,
    tol: float | None = None,
    max_sweeps: int = 1000,
    seed: int = 0,
) -> Result:
    """Return the lowest point that is found by minimizing over one block of entries at a time.

    x_B ← argmin f(x_B, the others held), for each block B in turn; once through all blocks is a sweep.

    `blocks` is None for single entries, a size, or a list of tensors with indices into x0.flatten(); blocks
    may overlap. `order` is "cyclic", "random" (a new permutation each sweep, by `seed`) or "greedy" (always
    the block with the largest gradient, which costs a gradient an update). `solve(x, block)` returns the
    block's new values where a formula gives them; without it, Newton's method with a line search (L-BFGS for
    blocks above 50 entries) minimizes over the block.

    It has converged where the gradient's largest component is at most `tol` times the largest met after a
    sweep, by default 1e-8 in float64 and 1e-4 in float32. `result.nit` counts sweeps; evaluations within
    blocks are counted, too. For a function with kinks a sweep may end where no single block can lower it,
    above the minimum: that run is "stalled". The Lasso's kinks are harmless; it has a solver of its own,
    `lasso`.

    Raises ValueError for invalid blocks or an invalid order, for what `solve` may not return, and for an
    objective that is not one number.

    Source: Goodfellow, Bengio and Courville, Deep Learning, section 8.7.2; Wright (2015), Coordinate descent
    algorithms.

    >>> import torch
    >>> from thalweg.solvers import coordinate_descent
    >>> result = coordinate_descent(lambda x: (x[0] - x[1]) ** 2 + (x**2).sum() - x[0], [3.0, 1.0])
    >>> result.success, [round(value, 6) for value in result.x.tolist()]
    (True, [0.333333, 0.166667])
    """
    check_function(fun, "fun", "a tensor")
    if solve is not None:
        check_function(solve, "solve", "a point and a block")
    start = as_start(x0)
    check_order(order)
    stop = Stop(as_tolerance(tol), as_count(max_sweeps, "max_sweeps", 0))
    parts = as_blocks(blocks, start)
    run = _Sweeps(fun, start, parts, solve, stop, order)
    generator = torch.Generator().manual_seed(as_count(seed, "seed", 0))
    try:
        run.run(generator)
    except BaseException as error:
        result = run.interrupted()
        hand_over(error, result, f"f = {result.fun:g} after {result.nit} sweeps.")
        raise
    return run.result()


class _Sweeps:
    """A run: the flat point, the objective and its gradient there, and what it took."""

    def __init__(
        self,
        fun: Function,
        start: Tensor,
        blocks: list[Tensor],
        solve: Solve | None,
        stop: Stop,
        order: str,
    ) -> None:
        self.fun, self.shape = fun, start.shape
        self.objective = ScalarObjective(fun, start.shape)
        self.blocks, self.order, self.stop = blocks, order, stop
        self.solve = self._minimum if solve is None else solve
        self.within = Counts()
        self.sweeps = 0
        self.status: Status | None = None
        self.history: list[Record] = []
        self.x = self.last = start.reshape(-1)
        self.f, self.g = self._evaluate(self.x)
        self.size = self.largest = self._size(self.g)
        self._record()

    def run(self, generator: torch.Generator) -> None:
        """Sweep until a rule ends the run."""
        self._judge()
        while self.status is None:
            self.last = self.x
            for block in self._visits(generator):
                self._update(block)
            f, g = self._evaluate(self.x)
            self.sweeps += 1
            if f < self.f:
                self.f, self.g, self.size = f, g, self._size(g)
                self.largest = max(self.largest, self.size)
                self._record()
            else:
                self.x = self.last
                self.status = self.status or self._verdict()
            self._judge()

    def interrupted(self) -> Result:
        """Return what there was before the sweep that an exception ended."""
        self.x, self.status = self.last, Status.INTERRUPTED
        return self.result()

    def result(self) -> Result:
        """Return what the run ended with."""
        counts = self.objective.counts
        assert self.status is not None
        return Result(
            x=self.x.view(self.shape),
            fun=self.f,
            grad=self.g.view(self.shape),
            nit=self.sweeps,
            nfev=counts.functions + self.within.functions,
            ngev=counts.gradients + self.within.gradients,
            nhvp=self.within.products,
            success=self.status is Status.CONVERGED,
            status=self.status,
            message=sentence(self.status, self.size, self.largest),
            history=tuple(self.history),
        )

    def _judge(self) -> None:
        """Set why the run ends at the present point, if it does."""
        if self.status is not None:
            return
        if not (math.isfinite(self.f) and math.isfinite(self.size)):
            self.status = Status.UNDEFINED
        elif self.size <= self.stop.tolerance(self.x.dtype) * self.largest and (
            self.sweeps or not self.size
        ):
            self.status = Status.CONVERGED
        else:
            self.status = self.stop.spent(self.sweeps, 0)

    def _verdict(self) -> Status:
        """Return what it means that a sweep found no lower point: rounding ends a run, too."""
        small = math.sqrt(self.stop.tolerance(self.x.dtype)) * self.largest
        return Status.CONVERGED if self.size <= small else Status.STALLED

    def _visits(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the blocks of one sweep; a greedy one looks at the gradient before each."""
        if self.order == "greedy":
            g = self.g
            for visit in range(len(self.blocks)):
                if visit:
                    _, g = self._evaluate(self.x)
                yield steepest_block(g, self.blocks)
        elif self.order == "random":
            for place in torch.randperm(len(self.blocks), generator=generator).tolist():
                yield self.blocks[place]
        else:
            yield from self.blocks

    def _update(self, block: Tensor) -> None:
        values = self.solve(self.x.view(self.shape), block)
        self.x = self.x.index_copy(0, block, self._checked(values, block))

    def _checked(self, values: Any, block: Tensor) -> Tensor:
        """Return what `solve` returned, or say what is wrong with it."""
        if not isinstance(values, Tensor) or values.numel() != block.numel():
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(
                f"solve returned {got} for a block of {block.numel()}; it must return a tensor with the "
                "block's new values."
            )
        if values.is_complex():
            raise ValueError(
                "solve returned complex numbers; it must return the block's new values."
            )
        if not bool(torch.isfinite(values).all()):
            raise ValueError(
                f"solve returned a value that is not finite for the block of entries {block[:6].tolist()}: "
                "the objective has no minimum over it, or the formula divides by zero."
            )
        return values.detach().reshape(-1).to(self.x)

    def _minimum(self, point: Tensor, block: Tensor) -> Tensor:
        """Return the minimum over a block as an inner solver finds it."""
        x = point.reshape(-1)

        def restricted(values: Tensor) -> Any:
            return self.fun(x.index_copy(0, block, values).view(self.shape))

        method = "newton" if block.numel() <= _DENSE else "lbfgs"
        found = minimize(restricted, x[block], method, max_iter=_INNER)
        self.within.functions += found.nfev
        self.within.gradients += found.ngev
        self.within.products += found.nhvp
        if found.status is Status.UNBOUNDED:
            self.status = Status.UNBOUNDED
        return found.x

    def _evaluate(self, x: Tensor) -> tuple[float, Tensor]:
        f, g = self.objective.evaluate(x[None])
        return float(f[0]), g[0]

    def _size(self, g: Tensor) -> float:
        return float(g.abs().max())

    def _record(self) -> None:
        done = self.objective.counts.functions + self.within.functions
        self.history.append(Record(done, self.f, self.size))


def sentence(status: Status, size: float, largest: float) -> str:
    """Return in a sentence why a run of sweeps ended."""
    share = f"{size / largest:.1e} of the largest met" if size and largest else "0"
    if status is Status.ITERATIONS:
        return f"All sweeps are used up (max_sweeps); the gradient is {share}."
    if status is Status.STALLED:
        return f"Stalled: the last sweep found no lower point; the gradient is {share}."
    return message(status, size, largest)
