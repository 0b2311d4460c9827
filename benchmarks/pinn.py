"""What full-matrix quasi-Newton methods reach on physics-informed networks, at equal seconds.

Three equations (Poisson in two dimensions, viscous Burgers, Helmholtz), 1,297 weights, float64, one thread.
500 steps of Adam come first and are shared; then each contestant has the same processor seconds, which other
processes on the machine disturb less than those of the clock. Who ends early begins anew where it ended, as
long as that helps.

    python benchmarks/pinn.py                 3 equations, 3 seeds, 40 s each: about 45 minutes
    python benchmarks/pinn.py --quick         one seed, 5 s each: 2 minutes
    python benchmarks/pinn.py --contestants "torch L-BFGS,ssbroyden" --seconds 20 --json results.json

SciPy is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from _contest import print_table
from _pinn import EQUATIONS, Problem
from torch import Tensor

from thalweg.solvers import minimize

ADAM_STEPS = 500
HISTORY = 100


class SpentError(Exception):
    """The seconds are used up."""


class Clock:
    """The loss of a problem with its gradient, for so many processor seconds; keeps the lowest point met."""

    def __init__(self, problem: Problem, start: Tensor, seconds: float) -> None:
        self.problem, self.seconds = problem, seconds
        self.evaluations, self.lowest, self.best = 0, math.inf, start
        self.began = time.process_time()

    def left(self) -> bool:
        """Return whether there is time left."""
        return time.process_time() - self.began < self.seconds

    def loss(self, w: Tensor) -> Tensor:
        """Return the loss, for autograd; raise SpentError when the time is up."""
        if not self.left():
            raise SpentError
        self.evaluations += 1
        value = self.problem.loss(w)
        if value.item() < self.lowest:
            self.lowest, self.best = value.item(), w.detach().clone()
        return value


Contestant = Callable[[Clock, Tensor], Tensor]
"""Runs from a start until it ends, and returns its last point."""


def torch_lbfgs(clock: Clock, start: Tensor) -> Tensor:
    w = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.LBFGS(
        [w],
        max_iter=10**6,
        max_eval=10**7,
        tolerance_grad=0,
        tolerance_change=0,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = clock.loss(w)
        loss.backward()
        return loss

    optimizer.step(closure)
    return w.detach()


def scipy_bfgs(clock: Clock, start: Tensor) -> Tensor:
    import scipy.optimize

    def fun(x):  # type: ignore[no-untyped-def]
        w = torch.from_numpy(x).clone().requires_grad_()
        loss = clock.loss(w)
        return loss.item(), torch.autograd.grad(loss, w)[0].numpy()

    options = {"gtol": 0, "maxiter": 10**9}
    found = scipy.optimize.minimize(fun, start.numpy(), jac=True, method="BFGS", options=options)
    return torch.from_numpy(found.x)


def ours(method: str, **options: object) -> Contestant:
    def run(clock: Clock, start: Tensor) -> Tensor:
        return minimize(clock.loss, start, method, tol=0, max_iter=10**9, **options).x

    return run


CONTESTANTS: dict[str, Contestant] = {
    "torch L-BFGS": torch_lbfgs,
    "SciPy BFGS": scipy_bfgs,
    "lbfgs": ours("lbfgs", history=HISTORY),
    "bfgs": ours("bfgs"),
    "ssbfgs": ours("ssbfgs"),
    "ssbroyden": ours("ssbroyden"),
}


@dataclass(frozen=True)
class Outcome:
    """What one contestant reached on one problem."""

    equation: str
    seed: int
    contestant: str
    loss: float
    error: float
    evaluations: int
    runs: int


def adam(problem: Problem) -> Tensor:
    w = torch.nn.Parameter(problem.start())
    optimizer = torch.optim.Adam([w], lr=1e-3)
    for _ in range(ADAM_STEPS):
        optimizer.zero_grad()
        problem.loss(w).backward()
        optimizer.step()
    return w.detach()


def compete(problem: Problem, name: str, start: Tensor, seconds: float) -> Outcome:
    clock = Clock(problem, start, seconds)
    runs, before, at = 0, math.inf, start
    try:
        while clock.left() and (clock.lowest < before or runs < 2):
            before, runs = clock.lowest, runs + 1
            at = CONTESTANTS[name](clock, at)
    except SpentError:
        pass
    error = problem.error(clock.best)
    return Outcome(
        problem.equation.name, problem.seed, name, clock.lowest, error, clock.evaluations, runs
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--equations", default=",".join(EQUATIONS))
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--quick", action="store_true", help="one seed, 5 seconds")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    seconds, seeds = (5.0, 1) if args.quick else (args.seconds, args.seeds)
    torch.set_num_threads(1)
    outcomes = []
    for equation in args.equations.split(","):
        for seed in range(seeds):
            problem = Problem(EQUATIONS[equation], seed)
            start = adam(problem)
            print(f"{equation} {seed}: after Adam {problem.loss(start).item():.2e}", flush=True)
            for name in args.contestants.split(","):
                outcome = compete(problem, name, start, seconds)
                outcomes.append(outcome)
                print(
                    f"  {name:14} loss {outcome.loss:.2e}, error {outcome.error:.1e}, "
                    f"{outcome.evaluations} evaluations, {outcome.runs} runs",
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=1))
    report(outcomes, seconds)


def report(outcomes: list[Outcome], seconds: float) -> None:
    names = list(dict.fromkeys(o.contestant for o in outcomes))
    problems = {(o.equation, o.seed) for o in outcomes}
    of = {(o.equation, o.seed, o.contestant): o for o in outcomes}
    rows = []
    for name in names:
        mine = [o for o in outcomes if o.contestant == name]
        row = [name]
        for equation in dict.fromkeys(o.equation for o in outcomes):
            some = [o for o in mine if o.equation == equation]
            loss, error = (
                statistics.median(getattr(o, f) for o in some) for f in ("loss", "error")
            )
            row.append(f"{loss:.1e} ({error:.0e})")
        ratios = [of[*p, name].loss / of[*p, names[0]].loss for p in problems]
        row.append(f"{statistics.median(ratios):.2g}")
        row.append(f"{statistics.median(o.evaluations for o in mine):,.0f}")
        rows.append(row)
    equations = dict.fromkeys(o.equation for o in outcomes)
    print_table(
        f"Final loss (relative error of u) after {seconds:g} s, medians over seeds",
        ["", *equations, f"loss : {names[0]}", "evaluations"],
        rows,
    )


if __name__ == "__main__":
    main()
