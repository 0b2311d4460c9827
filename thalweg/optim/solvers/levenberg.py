"""Levenberg and Marquardt's method as an optimizer: its closure returns residuals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from thalweg.optim.solvers.base import SolverOptimizer
from thalweg.optim.solvers.carried import CarriedScales
from thalweg.optim.solvers.closure import Closure
from thalweg.optim.solvers.flat import Flat
from thalweg.optim.solvers.objectives import ResidualClosureObjective, without_backward
from thalweg.optim.solvers.outcome import StepResult
from thalweg.solvers.lane import NOTHING, Carried
from thalweg.solvers.stop import Status, Stop
from thalweg.solvers.trust.region import Region

_KEPT = ("scales", "radius", "carried")
"""What the state holds in addition to counts."""


class LevenbergMarquardt(SolverOptimizer):
    """Levenberg and Marquardt's method (Levenberg 1944, Marquardt 1963) for ½‖r‖² of residuals r.

        min ‖r + J·δ‖²  with  ‖D·δ‖ ≤ Δ,   p ← p + δ where ½‖r‖² falls as the model says

    D holds the largest norms that J's columns have had, Δ follows how good the model was.

    Paper: Moré 1978, "The Levenberg-Marquardt Algorithm: Implementation and Theory".
    Defaults: 20 iterations a step; the first Δ is lr·‖D·p‖.
    Use: for least squares of up to some thousand parameters or residuals, whichever are fewer, in float64:
    curve fits, physics-informed networks; not for mini-batches, nor for other losses.
    Deviations: none.
    Cost: J, of as many numbers as residuals times parameters, and its singular values in each iteration.

    Args:
        params: a module, or what `torch.optim` takes: tensors, named tensors, or groups; their entries are
            the same in all groups.
        lr: factor of the first Δ, which then follows how good the model is. 0 moves nothing.
        max_iter: most iterations in a step.
        max_eval: most evaluations of the closure in a step; None for as many as the iterations take.
        tol: a step ends where the largest component of the gradient is at most `tol` times the largest one
            met; None takes 1e-8 in float64, 1e-4 in float32.

    The closure computes the residuals and returns them as one tensor, without calling backward; `step`
    returns the first of them. `fit` and races give it those of a mean squared error and of a penalty L2,
    and refuse other costs. Steps go on from each other. `result` says why the last one ended.

    Raises:
        ValueError: an argument that is out of range, or groups that differ.

    >>> import torch
    >>> t = torch.linspace(0, 1, 20, dtype=torch.float64)
    >>> y = 2 * torch.exp(-3 * t)
    >>> p = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    >>> optimizer = LevenbergMarquardt([p])
    >>> residuals = optimizer.step(lambda: p[0] * torch.exp(-p[1] * t) - y)
    >>> [round(value, 6) for value in p.tolist()]
    [2.0, 3.0]
    """

    needs_residuals: ClassVar[bool] = True
    """Whether the closure returns residuals and no loss."""

    @property
    def unseen_passes(self) -> int:
        """A backward pass for the gradient of each evaluation, and one for each product with the Jacobian."""
        return 0 if self.result is None else 2 * (self.result.nfev + self.result.nhvp)

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        lr: float | Tensor = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        *,
        tol: float | None = None,
    ) -> None:
        self._begin(params, {"lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tol": tol})

    def _take(self, closure: Callable[..., Any]) -> Any:
        group = self._settings()
        flat = Flat(self.param_groups)
        wrapped = Closure(type(self).__name__, closure, flat, maximize=False)
        objective = ResidualClosureObjective(wrapped, without_backward(closure))
        start, state = flat.point(), self._kept
        lr = float(group["lr"])
        if lr == 0:
            f, _ = objective.evaluate(start[None])
            self.result = StepResult(Status.STOPPED, float(f), 0, wrapped.count)
            return wrapped.first
        kept = {name: state.pop(name, None) for name in _KEPT}
        scales = kept["scales"]
        if scales is not None and scales.shape[-1] != flat.size:
            raise ValueError(
                f"The state of LevenbergMarquardt is of {scales.shape[-1]} numbers, the parameters have "
                f"{flat.size}. Was it saved for another model?"
            )
        subproblem = CarriedScales(scales)
        stop = Stop(group["tol"], group["max_iter"], group["max_eval"])
        run = Region(
            objective,  # type: ignore[arg-type]
            start[None],
            subproblem,
            stop,
            radius=kept["radius"],
            factor=lr,
        )
        try:
            (lane,) = run.run(NOTHING if kept["carried"] is None else Carried(**kept["carried"]))
        except BaseException:
            found = run.so_far()
            flat.put(found[0][1] if found else start)
            state |= {name: value for name, value in kept.items() if value is not None}
            self.result = StepResult.interrupted(found, wrapped.count, objective.counts.products)
            raise
        flat.put(run.x_end[0])
        state["n_iter"] = state.get("n_iter", 0) + lane.iterations
        state["func_evals"] = state.get("func_evals", 0) + wrapped.count
        if subproblem.scales is not None:
            radius = lane.alpha or kept["radius"]
            carried = {name: getattr(lane, name) for name in Carried._fields}
            state |= {"scales": subproblem.scales, "radius": radius, "carried": carried}
        assert lane.status is not None
        products = objective.counts.products
        self.result = StepResult(lane.status, lane.f, lane.iterations, wrapped.count, products)
        return wrapped.first

    def _grow(self, state: dict[str, Any], before: Flat, after: Flat) -> None:
        for name in ("scales", "radius"):
            state.pop(name, None)

    def _permute(self, state: dict[str, Any], order: Tensor, places: Sequence[int]) -> None:
        if state.get("scales") is not None:
            state["scales"] = state["scales"][:, order.to(state["scales"].device)]
