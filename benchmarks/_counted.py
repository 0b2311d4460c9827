"""Runs of solvers whose evaluations are counted within the function, alike for every solver."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from tests.solvers.mgh import Minimum, Problem

MOST = 10_000
"""Iterations, evaluations and products with a Hessian that a run may take, unless it is told otherwise."""
TIGHT: dict[str, dict[str, float]] = {
    "BFGS": {"gtol": 1e-8},
    "L-BFGS-B": {"gtol": 1e-8, "ftol": 1e-15, "maxfun": 10**9},
    "CG": {"gtol": 1e-8},
    "Newton-CG": {"xtol": 1e-12},
    "trust-exact": {"gtol": 1e-8},
    "trust-ncg": {"gtol": 1e-8},
}
"""SciPy's options: so tight that no method stops before it has to."""


class Spent(Exception):  # noqa: N818
    """A run has had all it may take."""


@dataclass
class Run:
    """What one solver did on one problem."""

    problem: Problem
    most: int = MOST
    values: list[float] = field(default_factory=list)
    """The objective at each evaluation, in order; value and gradient at a point are one evaluation."""
    products: int = 0
    """With the Hessian; a whole one counts n."""
    message: str = ""
    _last: Tensor | None = None

    def fun(self, x: Tensor) -> Tensor:
        value = self.problem.fun(x)
        self._count(x, value)
        return value

    def residuals(self, x: Tensor) -> Tensor:
        r = self.problem.residuals(x)
        self._count(x, r.square().sum())
        return r

    def _count(self, x: Tensor, value: Tensor) -> None:
        """A second call at the point of the last one, as for a Hessian there, is no new evaluation."""
        x = x.detach()
        if self._last is None or not torch.equal(x, self._last):
            self.values.append(float(value.detach()))
            self._last = x.clone()
        if self.total >= self.most:
            raise Spent("all evaluations are used up")

    def multiplied(self, products: int) -> None:
        self.products += products
        if self.products >= self.most:
            raise Spent("all products are used up")

    @property
    def total(self) -> int:
        return len(self.values)

    @property
    def best(self) -> float:
        return min((v for v in self.values if not math.isnan(v)), default=math.inf)

    def minimum(self, tau: float) -> Minimum | None:
        """Return the listed minimum that the best value is that of; None if there is none."""
        for minimum in self.problem.minima:
            width = tau * (self.problem.f0 - minimum.value)
            if minimum.finite and abs(self.best - minimum.value) <= width:
                return minimum
        return None

    def evaluations(self, tau: float) -> int | None:
        """Return how many evaluations it took until f − f* ≤ τ·(f₀ − f*), f* the minimum it came to."""
        minimum = self.minimum(tau)
        if minimum is None:
            return None
        goal = minimum.value + tau * (self.problem.f0 - minimum.value)
        return next(k for k, value in enumerate(self.values, 1) if value <= goal)


def run_scipy(problem: Problem, method: str, most: int = MOST) -> Run:
    run = Run(problem, most)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            run.message = (scipy_least_squares if method == "lm" else scipy_minimize)(run, method)
        except Spent as spent:
            run.message = str(spent)
    return run


def scipy_minimize(run: Run, method: str) -> str:
    second: dict[str, Any] = {}
    if method == "trust-exact":
        second = {"hess": functools.partial(hessian, run)}
    elif method in ("Newton-CG", "trust-ncg"):
        second = {"hessp": functools.partial(product, run)}
    found = optimize.minimize(
        functools.partial(value_and_gradient, run.fun),
        np.array(run.problem.start, dtype=float),
        jac=True,
        method=method,
        options={"maxiter": run.most, **TIGHT[method]},
        **second,
    )
    return str(found.message)


def scipy_least_squares(run: Run, method: str) -> str:
    jacobian = torch.func.jacrev(run.problem.residuals)
    found = optimize.least_squares(
        lambda x: run.residuals(torch.from_numpy(x.copy())).numpy(),
        np.array(run.problem.start, dtype=float),
        jac=lambda x: jacobian(torch.from_numpy(x.copy())).numpy(),
        method=method,
        x_scale="jac",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        max_nfev=run.most,
    )
    return str(found.message)


def value_and_gradient(fun: Callable[[Tensor], Tensor], x: np.ndarray) -> tuple[float, np.ndarray]:
    point = torch.from_numpy(x.copy()).requires_grad_()
    value = fun(point)
    (gradient,) = torch.autograd.grad(value, point)
    return float(value.detach()), gradient.numpy()


def hessian(run: Run, x: np.ndarray) -> np.ndarray:
    run.multiplied(len(x))
    point, gradient = differentiable_gradient(run.problem, x)
    units = torch.eye(len(x), dtype=torch.float64)
    return torch.autograd.grad(gradient, point, units, is_grads_batched=True)[0].numpy()


def product(run: Run, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    run.multiplied(1)
    point, gradient = differentiable_gradient(run.problem, x)
    vector = torch.from_numpy(np.array(v, dtype=float))
    return torch.autograd.grad(gradient, point, vector)[0].numpy()


def differentiable_gradient(problem: Problem, x: np.ndarray) -> tuple[Tensor, Tensor]:
    point = torch.from_numpy(x.copy()).requires_grad_()
    return point, torch.autograd.grad(problem.fun(point), point, create_graph=True)[0]


def run_thalweg(problem: Problem, method: str, tol: float | None, most: int = MOST) -> Run:
    """An error counts as a failure, and is told."""
    from thalweg import solvers

    run = Run(problem, most)
    try:
        if method == "lm":
            found = solvers.least_squares(run.residuals, problem.x0, tol=tol, max_iter=most)
        else:
            found = solvers.minimize(run.fun, problem.x0, method=method, tol=tol, max_iter=most)
        run.message, run.products = str(found.message), found.nhvp
    except Exception as error:  # of any kind: the other cases go on
        run.message = f"{type(error).__name__}: {error}"
    return run
