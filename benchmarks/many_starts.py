"""256 starts at once against a loop over SciPy's BFGS, on smooth problems.

SciPy gets each gradient from torch's autograd, as a user of torch would write it, and once more from a
function of NumPy written by hand. All go on until their own rules end the run; what they find is compared.
Times are processor milliseconds a start, of one thread; SciPy's are those of the first 32 starts.

    python benchmarks/many_starts.py             about 2 minutes
    python benchmarks/many_starts.py --starts 64
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import torch
from _contest import Contestant, Neighbours, contest, print_table
from solvers_speed import Timed, rosenbrock
from torch import Tensor

from thalweg.solvers import minimize_many

LOOP = 32
"""Starts that SciPy is timed on."""

Figures = tuple[float, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Problem:
    """An objective in torch, the same with its gradient in NumPy, and how many parameters it has."""

    name: str
    fun: Callable[[Tensor], Tensor]
    by_hand: Callable[[np.ndarray[Any, Any]], Figures]
    n: int
    centre: float = 0.0
    """Starts are normally distributed around it."""


def problems() -> list[Problem]:
    return [
        Problem("Rosenbrock, n = 2", rosenbrock, rosenbrock_by_hand, 2),
        Problem("Rosenbrock, n = 10", rosenbrock, rosenbrock_by_hand, 10),
        logistic(),
        curve(),
    ]


def rosenbrock_by_hand(x: np.ndarray[Any, Any]) -> Figures:
    a, b = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    g = np.zeros_like(x)
    g[1:] += 200 * a
    g[:-1] -= 400 * a * x[:-1] + 2 * b
    return float(100 * a @ a + b @ b), g


def logistic() -> Problem:
    """Logistic regression of 100 points on 5 features, with weight decay."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(100, 5, generator=generator, dtype=torch.float64)
    noise = torch.randn(100, generator=generator, dtype=torch.float64)
    signs = (features[:, 0] + noise).sign()
    rows = features * signs[:, None]
    in_numpy = rows.numpy()

    def fun(w: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-(rows @ w)).mean() + 0.01 * w.square().sum()

    def by_hand(w: np.ndarray[Any, Any]) -> Figures:
        margins = in_numpy @ w
        f = np.logaddexp(0, -margins).mean() + 0.01 * w @ w
        share = -1 / (1 + np.exp(margins)) / len(margins)
        return float(f), share @ in_numpy + 0.02 * w

    return Problem("logistic regression, n = 5", fun, by_hand, 5)


def curve() -> Problem:
    """The fit of a·exp(−bt) + c to 20 points."""
    t = torch.linspace(0, 1, 20, dtype=torch.float64)
    y = 2 * torch.exp(-3 * t) + 0.5
    times, values = t.numpy(), y.numpy()

    def fun(p: Tensor) -> Tensor:
        return (p[0] * torch.exp(-p[1] * t) + p[2] - y).square().sum()

    def by_hand(p: np.ndarray[Any, Any]) -> Figures:
        decay = np.exp(-p[1] * times)
        r = p[0] * decay + p[2] - values
        g = 2 * np.array([r @ decay, -p[0] * (r @ (times * decay)), r.sum()])
        return float(r @ r), g

    return Problem("fit of an exponential, n = 3", fun, by_hand, 3, centre=1.5)


def by_autograd(fun: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray[Any, Any]], Figures]:
    def value_and_gradient(x: np.ndarray[Any, Any]) -> Figures:
        point = torch.from_numpy(x).requires_grad_()
        value = fun(point)
        (g,) = torch.autograd.grad(value, point)
        return value.item(), g.numpy()

    return value_and_gradient


def row(problem: Problem, starts: int, method: str, seconds: float) -> list[str]:
    """Return the times, both ratios, and how many runs found the lowest value, of ours and of SciPy's."""
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(starts, problem.n, generator=generator, dtype=torch.float64)
    points = points / (1 if problem.centre == 0 else 3) + problem.centre
    found: dict[str, Any] = {}

    def ours() -> None:
        found["ours"] = minimize_many(problem.fun, points, method)

    def loop(fun: Callable[[np.ndarray[Any, Any]], Figures]) -> None:
        found["scipy"] = [
            scipy.optimize.minimize(fun, point, jac=True, method="BFGS")
            for point in points[:LOOP].numpy()
        ]

    rivals: list[Contestant] = [
        Timed("ours", ours),
        Timed("autograd", lambda: loop(by_autograd(problem.fun))),
        Timed("by hand", lambda: loop(problem.by_hand)),
    ]
    contest(rivals, seconds)
    own = rivals[0].median / starts
    autograd, hand = (rival.median / min(starts, LOOP) for rival in rivals[1:])
    lowest = min(r.fun for r in found["ours"])
    solved = {
        name: sum(r.fun <= lowest + 1e-6 * (1 + abs(lowest)) for r in runs) / len(runs)
        for name, runs in found.items()
    }
    evaluations = {name: sum(r.nfev for r in runs) / len(runs) for name, runs in found.items()}
    return [
        problem.name,
        *(f"{1e3 * each:,.2f}" for each in (own, autograd, hand)),
        *(f"{each / own:.1f}" for each in (autograd, hand)),
        *(f"{evaluations[name]:.1f}" for name in ("ours", "scipy")),
        *(f"{solved[name]:.0%}" for name in ("ours", "scipy")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=256)
    parser.add_argument("--method", default="bfgs")
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    neighbours = Neighbours()
    columns = ["", "ms", "SciPy, autograd", "SciPy, by hand", "ratio", "ratio by hand"]
    columns += ["evaluations", "SciPy's", "solved", "by SciPy"]
    table = [row(problem, args.starts, args.method, args.seconds) for problem in problems()]
    print_table(f"{args.starts} starts, {args.method}", columns, table)
    if warning := neighbours.warning():
        print(warning)


if __name__ == "__main__":
    main()
