"""thalweg's solvers beside SciPy's of the same name.

evaluations: the 43 cases of Moré, Garbow and Hillstrom from their standard starts. Evaluations are counted
within the function, value and gradient together as one, until f − f* ≤ τ·(f₀ − f*) (Moré and Wild 2009,
"Benchmarking derivative-free optimization algorithms"), f* the listed minimum that a run comes to. A case is
solved if there is one. Both have 10,000 evaluations, or as many as --most says, and SciPy tolerances so tight
that it does not stop too early. It is deterministic. Methods that crawl take long to use that up: give cg
--most 3000.

starts: 256 random starts of the extended Rosenbrock function of 10 variables, all at once, beside a loop over
SciPy's BFGS, with the same gradients from PyTorch and with hand-written ones in NumPy.

bounds: bounded problems with known minima, beside L-BFGS-B.

    python benchmarks/solvers.py [evaluations] [starts] [bounds] [--only scipy] [--methods bfgs,cg] [--each]
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy
import torch
from _bounded import bounds
from _contest import Contestant, Neighbours, contest, print_table
from _counted import MOST, Run, run_scipy, run_thalweg, value_and_gradient
from scipy import optimize

from tests.solvers.mgh import CASES, case

PAIRS = {
    "bfgs": "BFGS",
    "ssbroyden": "BFGS",
    "lbfgs": "L-BFGS-B",
    "cg": "CG",
    "newton": "Newton-CG",
    "newton-cg": "Newton-CG",
    "trust-exact": "trust-exact",
    "trust-ncg": "trust-ncg",
    "lm": "lm",
}
STARTS = 256

Runs = dict[str, Run]
"""By the label of the case."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sections", nargs="*", default=["evaluations", "starts"])
    parser.add_argument("--only", choices=["scipy", "thalweg"])
    parser.add_argument("--methods", default=",".join(PAIRS))
    parser.add_argument("--tau", type=float, default=1e-8)
    parser.add_argument("--tol", type=float, help="of thalweg's solvers; their own by default")
    parser.add_argument("--most", type=int, default=MOST, help="evaluations of a run at most")
    parser.add_argument("--each", action="store_true", help="every case, not only totals")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, SciPy {scipy.__version__}, float64, one thread")
    if not importlib.util.find_spec("thalweg.solvers"):
        options.only = "scipy"
    if "evaluations" in options.sections:
        evaluations(options)
    if "bounds" in options.sections:
        bounds(options.tau, options.most)
    if "starts" in options.sections:
        starts(options.only)


def evaluations(options: argparse.Namespace) -> None:
    methods = options.methods.split(",")
    unknown = sorted(set(methods) - set(PAIRS))
    if unknown:
        raise SystemExit(f"unknown methods {', '.join(unknown)}: choose from {', '.join(PAIRS)}")
    theirs: dict[str, Runs] = {}
    ours: dict[str, Runs] = {}
    if options.only != "thalweg":
        for name in dict.fromkeys(PAIRS[method] for method in methods):
            theirs[name] = {p.label: run_scipy(p, name, options.most) for p in CASES}
    if options.only != "scipy":
        for name in methods:
            ours[name] = {p.label: run_thalweg(p, name, options.tol, options.most) for p in CASES}
    for title, table in (("SciPy", theirs), ("thalweg", ours)):
        if table:
            tell_solved(title, table, options.tau)
    if theirs and ours:
        tell_compared([(m, ours[m], PAIRS[m], theirs[PAIRS[m]]) for m in methods], options)


def tell_solved(title: str, table: dict[str, Runs], tau: float) -> None:
    rows = []
    for name, runs in table.items():
        reached = [run.minimum(tau) for run in runs.values()]
        lowest = sum(
            m is run.problem.minima[0] for m, run in zip(reached, runs.values(), strict=True)
        )
        solved = sum(m is not None for m in reached)
        total = sum(run.total for run in runs.values())
        rows.append([name, f"{solved}", f"{lowest}", f"{total}"])
    columns = ["method", f"solved, of {len(CASES)}", "at the lowest minimum", "evaluations in all"]
    print_table(f"{title}, τ = {tau:g}", columns, rows)
    for name, runs in table.items():
        for label, run in runs.items():
            if run.minimum(tau) is None:
                gap = run.best - run.problem.minima[0].value
                print(
                    f"  {name}: {label}: f − f* = {gap:.2e}, {run.total} evaluations, {run.message}"
                )


def tell_compared(
    pairs: Sequence[tuple[str, Runs, str, Runs]], options: argparse.Namespace
) -> None:
    rows = []
    notes = []
    for name, ours, other, theirs in pairs:
        both = shared(ours, theirs, options.tau)
        until = {k: a / b for k, (a, b) in both.items()}
        total = {k: ours[k].total / theirs[k].total for k in both}
        wins = solved_alone(ours, theirs, options.tau), solved_alone(theirs, ours, options.tau)
        rows.append(
            [
                f"{name} / {other}",
                f"{len(both)}",
                *(f"{len(w)}" for w in wins),
                f"{geometric_mean(until):.2f}",
                f"{geometric_mean(total):.2f}",
            ]
        )
        worst = sorted(until, key=until.__getitem__, reverse=True)[:5]
        notes += [f"\n{name} / {other}", *described(ours, theirs, wins, options.tau)]
        notes.append(
            "  worst ratios: "
            + "; ".join(f"{k} {both[k][0]}/{both[k][1]} = {until[k]:.2f}" for k in worst)
        )
        if options.each:
            notes += [f"    {k}: {a} / {b}" for k, (a, b) in both.items()]
    columns = ["thalweg / SciPy", "both", "ours alone", "SciPy alone", "ratio", "ratio of totals"]
    print_table("Evaluations, geometric means where both come to the same minimum", columns, rows)
    print("\n".join(notes))


def shared(ours: Runs, theirs: Runs, tau: float) -> dict[str, tuple[int, int]]:
    """Return the evaluations of both on the cases where both come to the same minimum."""
    found = {}
    for label, run in ours.items():
        other = theirs[label]
        a, b = run.evaluations(tau), other.evaluations(tau)
        if a is not None and b is not None and run.minimum(tau) is other.minimum(tau):
            found[label] = a, b
    return found


def solved_alone(runs: Runs, others: Runs, tau: float) -> list[str]:
    return [k for k, run in runs.items() if run.minimum(tau) and not others[k].minimum(tau)]


def described(ours: Runs, theirs: Runs, wins: tuple[list[str], list[str]], tau: float) -> list[str]:
    lines = [
        f"  solved by {who} alone: {', '.join(names)}"
        for who, names in zip(("thalweg", "SciPy"), wins, strict=True)
        if names
    ]
    for label, run in ours.items():
        a, b = run.minimum(tau), theirs[label].minimum(tau)
        if a and b and a is not b:
            lines.append(f"  other minima: {label}: {a.value:.6g}, SciPy {b.value:.6g}")
        elif not a and not b:
            best = f"{run.best:.6g}, SciPy {theirs[label].best:.6g}"
            lines.append(f"  solved by neither: {label}: {best}")
    return lines


def geometric_mean(ratios: dict[str, float]) -> float:
    if not ratios:
        return math.nan
    return math.exp(sum(map(math.log, ratios.values())) / len(ratios))


def starts(only: str | None) -> None:
    problem = case(21, 10)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(STARTS, problem.n, generator=generator, dtype=torch.float64)
    found: dict[str, Any] = {}
    runs: dict[str, Callable[[], Any]] = {}
    if only != "scipy":
        from thalweg import solvers

        for method in ("bfgs", "lbfgs"):
            runs[f"thalweg minimize_many, {method}"] = functools.partial(
                solvers.minimize_many, problem.fun, points, method=method
            )
    if only != "thalweg":
        by_torch = functools.partial(value_and_gradient, problem.fun)
        runs["SciPy BFGS in a loop, PyTorch's gradients"] = lambda: loop(by_torch, points.numpy())
        runs["SciPy BFGS in a loop, NumPy by hand"] = lambda: loop(rosenbrocks, points.numpy())

    def keep(name: str) -> None:
        found[name] = runs[name]()

    neighbours = Neighbours()
    contestants = [Contestant(name, functools.partial(keep, name)) for name in runs]
    contest(contestants, seconds=20, most=20)
    base = contestants[-1].median
    rows = []
    for c in contestants:
        values = [float(getattr(value, "fun", value)) for value in found[c.name]]
        solved = sum(value <= 1e-8 * problem.f0 for value in values)
        rows.append([c.name, f"{c.median:.3f}", f"{c.median / base:.2f}", f"{solved}"])
    title = f"{STARTS} random starts of the extended Rosenbrock function, n = {problem.n}"
    print_table(title, ["contestant", "seconds", "ratio", "solved"], rows)
    if warning := neighbours.warning():
        print(warning)


def loop(fun: Callable[[np.ndarray], tuple[float, np.ndarray]], points: np.ndarray) -> list[float]:
    return [float(optimize.minimize(fun, x, jac=True, method="BFGS").fun) for x in points]


def rosenbrocks(x: np.ndarray) -> tuple[float, np.ndarray]:
    """The extended Rosenbrock function and its gradient."""
    odd, even = x[0::2], x[1::2]
    gap, rest = even - odd**2, 1 - odd
    gradient = np.empty_like(x)
    gradient[0::2] = -400 * odd * gap - 2 * rest
    gradient[1::2] = 200 * gap
    return float(100 * gap @ gap + rest @ rest), gradient


if __name__ == "__main__":
    main()
