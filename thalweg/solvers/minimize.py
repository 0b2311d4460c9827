"""Minimizing a function of a tensor from one start or from several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.descent.bounds import Bounds, as_bounds
from thalweg.solvers.descent.descend import Descent
from thalweg.solvers.descent.descend_many import ManyDescents
from thalweg.solvers.given import as_count, as_start, as_tolerance, check_function
from thalweg.solvers.lane import Lane
from thalweg.solvers.methods import (
    METHODS,
    RESIDUAL_METHODS,
    SECOND_ORDER,
    AlongLines,
    Method,
    method_named,
)
from thalweg.solvers.objectives.given_model import Curvature, CurvedObjective, check_curvature
from thalweg.solvers.objectives.objective import Counts, Function, ScalarObjective
from thalweg.solvers.objectives.residuals import ResidualObjective
from thalweg.solvers.objectives.unit import InUnit, Unit
from thalweg.solvers.result import Result
from thalweg.solvers.so_far import Interruptible, hand_over
from thalweg.solvers.stop import Status, Stop, message
from thalweg.solvers.trust.region import Region

Callback = Callable[[Tensor, float], bool | None]


@torch.inference_mode(False)
def minimize(
    fun: Function,
    x0: Any,
    method: str = "bfgs",
    *,
    tol: float | None = None,
    max_iter: int = 1000,
    max_evals: int | None = None,
    bounds: Any = None,
    callback: Callback | None = None,
    curvature: Curvature | None = None,
    **options: Any,
) -> Result:
    """Return the lowest point of a differentiable function that a solver finds from `x0`.

    `fun` takes a tensor of the shape of `x0` and returns one number; its gradient comes from autograd. `x0`
    is a tensor, an array or a number; integers are taken as float64. Methods, each with its options:

    - "bfgs", "ssbfgs", "ssbroyden": a full matrix; "lbfgs" (`history=10`): its last pairs;
    - "cg" (`beta="pr+"`, "fr", "hz"), "steepest";
    - "newton" (`remedy="saddle-free"`, "damped"), "newton-cg": the Hessian, or products with it;
    - "trust-exact", "trust-ncg" (`radius=`): the same, in a trust region.

    Those along lines take `search="wolfe"`, "hager-zhang" or "armijo", with its constants `c1=` and `c2=`.
    "cg", "newton-cg" and "trust-ncg" take a `preconditioner=` M ≈ H⁻¹, symmetric and positive definite: a
    function r ↦ M·r of tensors of the shape of `x0`, M's diagonal in that shape, the matrix [n, n], or an
    object A ≈ H with `solve`, of which M is the inverse.

    The Hessian of "newton", "newton-cg", "trust-exact" and "trust-ncg" comes from autograd, too; `curvature`
    gives another matrix in its place: a function of x that returns an A with products `A @ v` of vectors (n,)
    and of columns (n, k), such as an operator of `thalweg.curvature` (a Gauss-Newton matrix is never
    indefinite). It is called once at each point where a product is wanted, and used until the next one.

    It has converged where the gradient's largest component is at most `tol` times the largest one met on
    the way, so that neither the scale of the objective nor that of x matters; by default 1e-8 in float64 and
    1e-4 in float32. `bounds` is a pair (low, high) of numbers or tensors, with None for no bound; a start
    outside is moved inside. `callback(x, fun)` is called after each iteration and stops the run by
    returning True. What is found is returned however the run ends; `result.success` says if it converged.
    An exception of `fun`, and Ctrl-C, go on with the result so far as their attribute `result`.

    Raises:
        ValueError: for an unknown method, for numbers out of range, for a preconditioner that is not
            positive definite and for an objective that is not one number.
        TypeError: for an unknown option.

    >>> import torch
    >>> from thalweg.solvers import minimize
    >>> result = minimize(lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2, [-1.2, 1.0])
    >>> result.success, [round(value, 6) for value in result.x.tolist()]
    (True, [1.0, 1.0])
    """
    check_function(fun, "fun", "a tensor")
    start, unit = as_start(x0), Unit()
    chosen = method_named(method, options, METHODS, start, unit)
    check_curvature(curvature, method, SECOND_ORDER)
    objective: ScalarObjective = (
        ScalarObjective(fun, start.shape)
        if curvature is None
        else CurvedObjective(fun, start.shape, curvature)
    )
    box = None if bounds is None else as_bounds(bounds, start)
    stop = _stop(tol, max_iter, max_evals)
    run = _run(InUnit(objective, unit), start[None], chosen, stop, callback, box, method)
    return _results(run, objective.counts, start.shape, "minimize", unit)[0]


@torch.inference_mode(False)
def least_squares(
    residuals: Function,
    x0: Any,
    method: str = "lm",
    *,
    tol: float | None = None,
    max_iter: int = 1000,
    max_evals: int | None = None,
    callback: Callback | None = None,
    **options: Any,
) -> Result:
    """Return the point with the least ½‖r(x)‖² that a solver finds from `x0`.

    `residuals` takes a tensor of the shape of `x0` and returns a tensor of any shape. Methods: "lm",
    Levenberg and Marquardt's, from the singular values of the Jacobian; "trust-ncg", by products alone. The
    rest is as in `minimize`; `result.fun` is ½‖r‖².

    >>> import torch
    >>> from thalweg.solvers import least_squares
    >>> t = torch.linspace(0, 1, 20, dtype=torch.float64)
    >>> y = 2 * torch.exp(-3 * t)
    >>> result = least_squares(lambda p: p[0] * torch.exp(-p[1] * t) - y, [1.0, 1.0])
    >>> [round(value, 6) for value in result.x.tolist()]
    [2.0, 3.0]
    """
    check_function(residuals, "residuals", "a tensor")
    start, unit = as_start(x0), Unit()
    objective = ResidualObjective(residuals, start.shape)
    chosen = method_named(method, options, RESIDUAL_METHODS, start, unit)
    stop = _stop(tol, max_iter, max_evals)
    run = _run(InUnit(objective, unit), start[None], chosen, stop, callback, None, method)
    return _results(run, objective.counts, start.shape, "least_squares", unit)[0]


@torch.inference_mode(False)
def minimize_many(
    fun: Function,
    starts: Tensor | Sequence[Any],
    method: str = "bfgs",
    *,
    tol: float | None = None,
    max_iter: int = 1000,
    max_evals: int | None = None,
    bounds: Any = None,
    **options: Any,
) -> list[Result]:
    """Return a result for each start, the starts being the first axis; they run together.

    Each has its own search; all are evaluated in one call of `torch.func.vmap`, so `fun` must be one that
    vmap takes. One that has ended leaves; what the last stragglers may cost, `max_iter` and `max_evals` cap.
    Counts are those of each start, products with the Hessian those of all.

    >>> import torch
    >>> from thalweg.solvers import minimize_many
    >>> results = minimize_many(
    ...     lambda x: ((x - 1) ** 2).sum(), torch.zeros(3, 2, dtype=torch.float64)
    ... )
    >>> [result.success for result in results]
    [True, True, True]
    """
    check_function(fun, "fun", "a tensor")
    together = as_start(starts)
    if together.ndim < 1 or not len(together):
        raise ValueError(
            f"Starts need a first axis with one entry each; got shape {tuple(together.shape)}."
        )
    objective, unit = ScalarObjective(fun, together.shape[1:]), Unit()
    chosen = method_named(method, options, METHODS, together[0], unit)
    box = None if bounds is None else as_bounds(bounds, together[0])
    stop = _stop(tol, max_iter, max_evals)
    run = _run(InUnit(objective, unit), together, chosen, stop, None, box, method)
    return _results(run, objective.counts, together.shape[1:], "minimize_many", unit)


def _stop(tol: Any, max_iter: Any, max_evals: Any) -> Stop:
    """Return the rules that end a run, from what was given."""
    most = None if max_evals is None else as_count(max_evals, "max_evals")
    return Stop(as_tolerance(tol), as_count(max_iter, "max_iter", 0), most)


def _run(
    objective: InUnit,
    starts: Tensor,
    method: Method,
    stop: Stop,
    callback: Callback | None,
    box: Bounds | None,
    name: str,
) -> Interruptible:
    x, shape = starts.reshape(len(starts), -1), starts.shape[1:]
    if callback is not None:
        check_function(callback, "callback", "x and fun")

    def called(lane: Lane, point: Tensor) -> bool | None:
        assert callback is not None
        f = lane.f / objective.unit.c
        return callback(point.view(shape).clone(), f)  # which the callback may change

    hook = None if callback is None else called
    if isinstance(method, AlongLines) and len(x) > 1:
        return ManyDescents(objective, x, method.direction, method.search, stop, box)
    if isinstance(method, AlongLines):
        return Descent(objective, x, method.direction, method.search, stop, box, hook)
    if box is None:
        return Region(
            objective, x, method.subproblem, stop, hook, method.radius, unit=objective.unit
        )
    raise ValueError(
        f"The method {name!r} takes no bounds; these do: bfgs, ssbfgs, ssbroyden, lbfgs, cg, "
        "steepest, newton, newton-cg."
    )


def _results(
    run: Interruptible, counts: Counts, shape: torch.Size, who: str, unit: Unit
) -> list[Result]:
    """Run all lanes, and return a result for each; an exception gets what was found so far."""

    def found() -> list[Result]:
        ended = run.so_far()
        for lane, _, _ in ended:
            unit.restore(lane)
        return [
            _result(
                lane,
                x.view(shape),
                unit.restored(g).view(shape),
                ngev=lane.evaluations if who == "minimize_many" else counts.gradients,
                nhvp=counts.products,
            )
            for lane, x, g in ended
        ]

    try:
        run.run()
    except BaseException as error:
        results = found()
        if results and who == "minimize_many":
            hand_over(error, results, "a list with one for each start.")
        elif results:
            hand_over(
                error, results[0], f"f = {results[0].fun:g} after {results[0].nfev} evaluations."
            )
        raise
    return found()


def _result(lane: Lane, x: Tensor, grad: Tensor, *, ngev: int, nhvp: int) -> Result:
    assert lane.status is not None
    return Result(
        x=x,
        fun=lane.f,
        grad=grad,
        nit=lane.iterations,
        nfev=lane.evaluations,
        ngev=ngev,
        nhvp=nhvp,
        success=lane.status is Status.CONVERGED,
        status=lane.status,
        message=message(lane.status, lane.size, lane.largest),
        history=tuple(lane.history),
    )
