"""Quasi-Newton and Newton methods as optimizers: a direction and a line search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from thalweg.optim import docstring
from thalweg.optim.solvers.base import SolverOptimizer
from thalweg.optim.solvers.carried import CarriedDirection, Scaled
from thalweg.optim.solvers.closure import Closure
from thalweg.optim.solvers.flat import Flat
from thalweg.optim.solvers.objectives import GradientObjective, GraphObjective, without_backward
from thalweg.optim.solvers.outcome import StepResult
from thalweg.solvers.descent.descend import Descent
from thalweg.solvers.direction import bfgs, newton
from thalweg.solvers.direction.broyden import FAMILIES
from thalweg.solvers.direction.direction import Direction
from thalweg.solvers.direction.inverse import Inverse, symmetric
from thalweg.solvers.lane import NOTHING, Carried, Lane
from thalweg.solvers.search.wolfe import Wolfe
from thalweg.solvers.stop import Status, Stop

_ARGUMENTS = """

Args:
    params: a module, or what `torch.optim` takes: tensors, named tensors, or groups; their entries are the
        same in all groups.
    lr: factor of the first step length that each search tries. 0 moves nothing.
    max_iter: most iterations in a step.
    max_eval: most evaluations of the closure in a step; None for as many as the iterations take.
    tol: a step ends where the largest component of the gradient is at most `tol` times the largest one met;
        None takes 1e-8 in float64, 1e-4 in float32.
    maximize: maximize the loss.

{closure} Steps go on from each other: twenty of one iteration are one of twenty. `result` says why the last
step ended.

Raises:
    ValueError: an argument that is out of range, or groups that differ.

>>> import torch
>>> x = torch.nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
>>> optimizer = {name}([x], max_iter=100)
>>> def closure():
...     optimizer.zero_grad()
...     loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2{backward}
...     return loss
>>> loss = optimizer.step(closure)
>>> optimizer.result.success, [round(value, 3) for value in x.tolist()]
(True, [1.0, 1.0])
"""

_GRADIENT = (
    "The closure zeroes the gradients, computes the loss, calls backward and returns the loss."
)
_GRAPH = (
    "The closure computes the loss and returns it without calling backward; if it takes `backward`, it is\n"
    "called with backward=False."
)


class DescentOptimizer(SolverOptimizer):
    """Steps along directions of a solver, each as far as a search for the strong Wolfe conditions goes."""

    axes: ClassVar[dict[str, tuple[int, ...]]] = {}
    """The axes of its fields that are numbers of the parameters."""
    calls_backward: ClassVar[bool] = True
    """Whether the closure calls backward."""

    def __init_subclass__(cls) -> None:
        """Say in the docstring what arguments and closure are."""
        super().__init_subclass__()
        cls.__doc__ = docstring.of(cls) + _ARGUMENTS.format(
            name=cls.__name__,
            closure=_GRADIENT if cls.calls_backward else _GRAPH,
            backward="\n...     loss.backward()" if cls.calls_backward else "",
        )

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        lr: float | Tensor = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        *,
        tol: float | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "max_iter": max_iter, "max_eval": max_eval}
        self._begin(params, {**defaults, "tol": tol, "maximize": maximize})

    def _direction(self) -> Direction:
        raise NotImplementedError

    def _objective(self, closure: Closure) -> Any:
        return GradientObjective(closure)

    def _take(self, closure: Callable[..., Any]) -> Any:
        group = self._settings()
        flat = Flat(self.param_groups)
        wrapped = Closure(type(self).__name__, closure, flat, bool(group["maximize"]))
        objective = self._objective(wrapped)
        if float(group["lr"]) == 0:
            f, _ = objective.evaluate(flat.point()[None])
            self.result = StepResult(Status.STOPPED, float(f), 0, wrapped.count)
            return wrapped.first
        start = flat.point()
        state = self._kept
        before = state.pop("direction", None)  # a step that fails leaves nothing to go on from
        direction = CarriedDirection(
            self._direction(), objective, self._read(before, flat), tuple(state.get("absent", ()))
        )
        search = Scaled(Wolfe(rounding=_rounding(flat)), float(group["lr"]))
        stop = Stop(group["tol"], group["max_iter"], group["max_eval"])
        run = Descent(objective, start[None], direction, search, stop)
        carried = NOTHING if before is None else Carried(*(state[name] for name in Carried._fields))
        try:
            (lane,) = run.run(carried)
        except BaseException:
            found = run.so_far()
            flat.put(found[0][1] if found else start)
            if direction.is_untouched:
                state["direction"] = before
            self.result = StepResult.interrupted(found, wrapped.count, objective.counts.products)
            raise
        flat.put(run.x_end[0])
        self._keep(state, lane, direction.state)
        state["absent"] = list(objective.absent)
        self.result = _result(lane, wrapped, objective.counts.products)
        return wrapped.first

    def _read(self, kept: dict[str, Any] | None, flat: Flat) -> Any:
        """Return the state of the direction that is kept, None where there is none.

        Raises:
            ValueError: for the state of other parameters.
        """
        if kept is None:
            return None
        for name, axes in self.axes.items():
            if kept[name] is None:
                continue
            if any(kept[name].shape[axis] != flat.size for axis in axes):
                raise ValueError(
                    f"The state of {type(self).__name__} is of {kept[name].shape[-1]} numbers, the "
                    f"parameters have {flat.size}. Was it saved for another model?"
                )
        return self._state_of(kept)

    def _state_of(self, kept: dict[str, Any]) -> Any:
        """Return the direction's state that `kept` was made of."""
        raise NotImplementedError

    def _kept_of(self, direction: Any) -> dict[str, Any]:
        """Return tensors and numbers of which `_state_of` makes this state again."""
        raise NotImplementedError

    def _keep(self, state: dict[str, Any], lane: Lane, direction: Any) -> None:
        state["n_iter"] = state.get("n_iter", 0) + lane.iterations
        state["func_evals"] = state.get("func_evals", 0) + lane.evaluations
        state |= {name: getattr(lane, name) for name in Carried._fields}
        if lane.status is not Status.UNDEFINED and direction is not None:
            state["direction"] = self._kept_of(direction)

    def _grow(self, state: dict[str, Any], before: Flat, after: Flat) -> None:
        state.pop("direction", None)

    def _permute(self, state: dict[str, Any], order: Tensor, places: Sequence[int]) -> None:
        state["absent"] = [places[k] for k in state.get("absent", ())]
        kept = state.get("direction", {})
        for name, axes in self.axes.items():
            for axis in axes:
                if kept.get(name) is not None:
                    kept[name] = kept[name].index_select(axis, order.to(kept[name].device))


class BFGS(DescentOptimizer):
    """BFGS (Broyden, Fletcher, Goldfarb and Shanno 1970): the inverse Hessian as a full matrix.

        s = xₖ₊₁ − xₖ,  y = gₖ₊₁ − gₖ,  H ← (I − syᵀ/sᵀy)·H·(I − ysᵀ/sᵀy) + ssᵀ/sᵀy
        p ← p − t·H·g,  t by a search for the strong Wolfe conditions

    Paper: Nocedal and Wright 2006, "Numerical Optimization", chapter 6, where the four papers of 1970 are
    told as one.
    Defaults: 20 iterations a step; H begins as (sᵀy/yᵀy)·I of the first pair.
    Use: for deterministic objectives of up to some thousand parameters, in float64; not for mini-batches.
    Deviations: none.
    Cost: n² numbers for n parameters in all, and some vectors; a step reads the matrix twice.
    """

    axes: ClassVar[dict[str, tuple[int, ...]]] = {
        "base": (0, 1),
        **dict.fromkeys(("d", "g", "s", "y"), (0,)),
        "u": (1,),
    }
    family: ClassVar[str] = "bfgs"

    def _direction(self) -> Direction:
        return bfgs.BroydenDirection(FAMILIES[self.family])

    def _state_of(self, kept: dict[str, Any]) -> Any:
        return bfgs.OneInverse(Inverse.of(kept, FAMILIES[self.family]))

    def _kept_of(self, direction: Any) -> dict[str, Any]:
        return cast(bfgs.OneInverse, direction).inverse.kept()

    def _permute(self, state: dict[str, Any], order: Tensor, places: Sequence[int]) -> None:
        kept = state.get("direction")
        if kept is not None:
            kept["base"] = symmetric(kept["base"])
        super()._permute(state, order, places)


class SSBroyden(BFGS):
    """Self-scaled Broyden (Al-Baali and Khalfan 2005): BFGS with a scaled H and a formula that adapts.

        H ← (H − (Hy)(Hy)ᵀ/yᵀHy + φ·vvᵀ)/τ + ssᵀ/sᵀy,   v = √(yᵀHy)·(s/sᵀy − Hy/yᵀHy)
        p ← p − t·H·g,  t by a search for the strong Wolfe conditions

    φ and τ keep the eigenvalues of H within bounds at each step.

    Paper: Al-Baali and Khalfan 2005, "Wide Interval for Efficient Self-Scaling Quasi-Newton Algorithms",
    Optimization Methods and Software 20; for physics-informed networks Urbán, Stefanou and Pons 2025,
    "Unveiling the Optimization Process of Physics Informed Neural Networks", arXiv:2405.04230.
    Defaults: 20 iterations a step; H begins as (sᵀy/yᵀy)·I of the first pair.
    Use: for physics-informed networks of up to some thousand parameters, in float64, after some steps of
    Adam; not for mini-batches.
    Deviations: none.
    Cost: n² numbers for n parameters in all, and some vectors; a step reads the matrix twice.
    """

    family = "ssbroyden"


class NewtonCG(DescentOptimizer):
    """Newton by conjugate gradients (Nocedal and Wright 2006, algorithm 7.1): products with H alone.

        d ≈ −H⁻¹·g:  ‖H·d + g‖ ≤ η·‖g‖,  η = min(½, √(‖g‖/‖g₀‖))
        p ← p + t·d,  t by a search for the strong Wolfe conditions

    Paper: Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.1.
    Defaults: 20 iterations a step; g₀ is the gradient where the first step began.
    Use: for deterministic objectives with too many parameters for a matrix, where an iteration is worth tens
    of gradients; not for mini-batches.
    Deviations: where H bends down along the first direction, that is −g, as long as if H bent up as much.
    Cost: a few vectors; each product with H costs about two gradients, and needs the graph of the loss.
    """

    calls_backward = False

    def _direction(self) -> Direction:
        return newton.NewtonCGDirection()

    def _state_of(self, kept: dict[str, Any]) -> Any:
        return newton.FirstSize(**kept)

    def _kept_of(self, direction: Any) -> dict[str, Any]:
        return {"norm": cast(newton.FirstSize, direction).norm}

    @property
    def unseen_passes(self) -> int:
        """A backward pass for each evaluation; one product is a backward pass through two passes' graph."""
        return 0 if self.result is None else 2 * self.result.nfev + 4 * self.result.nhvp

    def _objective(self, closure: Closure) -> Any:
        return GraphObjective(closure, without_backward(closure.closure))


def _rounding(flat: Flat) -> float:
    return 4 * torch.finfo(flat.dtype).eps


def _result(lane: Lane, closure: Closure, products: int) -> StepResult:
    assert lane.status is not None
    return StepResult(lane.status, lane.f, lane.iterations, closure.count, products)
