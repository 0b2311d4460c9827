"""thalweg's methods with bounds beside SciPy's L-BFGS-B, on problems with known minima."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from _contest import print_table
from _counted import value_and_gradient
from scipy import optimize
from torch import Tensor

from tests.solvers.bounded import PROBLEMS, Bounded

METHODS = ("bfgs", "lbfgs", "cg", "newton", "newton-cg")


@dataclass
class Counted:
    """The values at all points that a run looked at; the same point twice in a row is one."""

    problem: Bounded
    values: list[float] = field(default_factory=list)
    last: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        value = self.problem.fun(x)
        if self.last is None or not torch.equal(self.last, x.detach()):
            self.last = x.detach().clone()
            self.values.append(float(value.detach()))
        return value

    def until(self, tau: float) -> str:
        """Return the evaluations until f − f* ≤ τ·(f₀ − f*), and those in all."""
        goal = self.problem.lowest + tau * (self.values[0] - self.problem.lowest)
        first = next((k for k, value in enumerate(self.values, 1) if value <= goal), None)
        return f"{'–' if first is None else first} / {len(self.values)}"


def bounds(tau: float, most: int) -> None:
    """Print evaluations until each problem is solved, and in all."""
    rows = []
    for problem in PROBLEMS:
        runs = [by_scipy(problem, most)] + [by_thalweg(problem, name, most) for name in METHODS]
        rows.append([problem.name, *(run.until(tau) for run in runs)])
    print_table(
        f"Bounds: evaluations until solved (– if never) / in all, τ = {tau:g}",
        ["problem", "SciPy L-BFGS-B", *METHODS],
        rows,
    )


def by_scipy(problem: Bounded, most: int) -> Counted:
    run = Counted(problem)
    optimize.minimize(
        lambda x: value_and_gradient(run, x),
        problem.start.numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(problem.low.tolist(), problem.high.tolist(), strict=True)),
        options={"gtol": 1e-8, "ftol": 1e-15, "maxiter": most, "maxfun": most},
    )
    return run


def by_thalweg(problem: Bounded, method: str, most: int) -> Counted:
    from thalweg import solvers

    run, box = Counted(problem), (problem.low, problem.high)
    solvers.minimize(run, problem.start, method, bounds=box, max_iter=most, max_evals=most)
    return run
