"""What a solver's own work costs: the update of its memory and the direction, without the function.

The objective is ½Σcᵢxᵢ² with c from 0.9 to 1, whose gradient costs one product. Each step is 1.9 times the
direction, so that the gradients change much and fall slowly. torch's L-BFGS and SciPy's BFGS run as they are;
theirs is the time of an iteration. Of ours are timed the update and the direction, and then the whole loop of
`minimize` on a function of ten numbers.

    python benchmarks/solvers_speed.py           about 3 minutes, 6 GB of memory
    python benchmarks/solvers_speed.py --quick   without the large one
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from _contest import Contestant, Neighbours, contest, print_table
from torch import Tensor

from thalweg.solvers import minimize
from thalweg.solvers.direction.bfgs import BroydenDirection
from thalweg.solvers.direction.broyden import FAMILIES
from thalweg.solvers.direction.lbfgs import LBFGSDirection


class Timed(Contestant):
    """One whose samples are processor seconds: with one thread, other processes disturb these less."""

    def sample(self) -> None:
        """Time one run."""
        start = time.process_time()
        for _ in range(self.repeats):
            self.run()
        elapsed = time.process_time() - start
        self.spent += elapsed
        self.samples.append(elapsed / self.repeats)


LENGTH = 1.9
"""Of a step, in directions."""


class Quadratic:
    """A point and its gradient; every 50 steps the point is made longer again."""

    def __init__(self, n: int, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)
        self.c = 0.9 + 0.1 * torch.rand(n, generator=generator, dtype=dtype)
        self.x = torch.randn(n, generator=generator, dtype=dtype)
        self.steps = 0

    def gradient(self) -> Tensor:
        """Return the gradient at the point."""
        self.steps += 1
        if self.steps % 50 == 0:
            self.x.div_(self.x.abs().max())
        return self.c * self.x


def ours(direction: Any, problem: Quadratic) -> Callable[[], None]:
    """Return one iteration: a step, the update by it, and the next direction."""
    g = problem.gradient()
    d, state = direction.propose(direction.init(problem.x[None], g[None]), g[None], None)

    def iterate() -> None:
        nonlocal g, d, state
        step = LENGTH * d
        problem.x.add_(step[0])
        after = problem.gradient()
        state = direction.update(state, step, (after - g)[None])
        g = after
        d, state = direction.propose(state, g[None], None)

    return iterate


def torch_lbfgs(problem: Quadratic, history: int) -> Callable[[], None]:
    """Return one iteration of torch's, which takes a step of fixed length."""
    parameter = torch.nn.Parameter(problem.x)
    problem.x = parameter.data
    optimizer = torch.optim.LBFGS(
        [parameter],
        lr=LENGTH,
        max_iter=1,
        tolerance_grad=0,
        tolerance_change=0,
        history_size=history,
    )
    loss = torch.zeros(())

    def closure() -> Tensor:
        parameter.grad = problem.gradient()
        return loss

    return lambda: optimizer.step(closure)


def lbfgs(n: int, history: int, dtype: torch.dtype, seconds: float) -> list[list[str]]:
    rivals = [
        Timed("torch", torch_lbfgs(Quadratic(n, dtype), history)),
        Timed("thalweg", ours(LBFGSDirection(history), Quadratic(n, dtype))),
    ]
    for rival in rivals:
        for _ in range(history + 2):  # until the histories are full
            rival.run()
    contest(rivals, seconds)
    kind = str(dtype).removeprefix("torch.")
    return rows(f"L-BFGS, n = {n:,}, history {history}, {kind}", rivals)


def bfgs(n: int, seconds: float) -> list[list[str]]:
    own = Timed(
        "thalweg", ours(BroydenDirection(FAMILIES["bfgs"]), Quadratic(n, torch.float64)), 16
    )
    rivals = [own]
    try:
        import scipy.optimize
    except ImportError:
        pass
    else:
        problem = Quadratic(n, torch.float64)
        c, x = problem.c.numpy(), problem.x.numpy()

        def run() -> None:
            scipy.optimize.minimize(
                lambda x: ((c * x) @ x / 2, c * x),
                x,
                jac=True,
                method="BFGS",
                options={"maxiter": 1, "gtol": 0},
            )

        rivals.insert(0, Timed("SciPy", run))
    contest(rivals, seconds, shortest=0.05)
    return rows(f"BFGS, n = {n:,}, float64", rivals)


def rows(title: str, rivals: list[Contestant]) -> list[list[str]]:
    """Return a row for each; the ratio is to the first one."""
    first = rivals[0].median
    table = []
    for rival in rivals:
        name = title if rival is rivals[0] else ""
        times = ms(rival.median), ms(min(rival.samples))
        table.append([name, rival.name, *times, f"{rival.median / first:.2g}"])
    return table


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.3f}"


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()


def loop(method: str, seconds: float) -> list[str]:
    """Return what `minimize` costs for an evaluation, beyond the evaluation."""
    start = torch.full((10,), -1.0, dtype=torch.float64)
    samples = []
    end = time.process_time() + seconds
    while time.process_time() < end or not samples:
        began = time.process_time()
        result = minimize(rosenbrock, start, method, tol=0, max_iter=30)
        whole = time.process_time() - began
        began = time.process_time()
        for _ in range(result.nfev):
            x = start.clone().requires_grad_()
            torch.autograd.grad(rosenbrock(x), x)
        within = time.process_time() - began
        samples.append(((whole - within) / result.nit, within / result.nfev))
    own, function = sorted(samples)[len(samples) // 2]
    return [method, ms(own), ms(function)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    neighbours = Neighbours()
    table = bfgs(2000, args.seconds)
    table += lbfgs(1000, 100, torch.float64, args.seconds)
    if not args.quick:
        table += lbfgs(25_000_000, 10, torch.float32, 2 * args.seconds)
    print_table("One iteration, ms", ["", "", "median", "least", "ratio"], table)
    loops = [loop(m, args.seconds / 5) for m in ("bfgs", "ssbroyden", "lbfgs", "cg", "steepest")]
    print_table(
        "minimize on a function of ten numbers, ms",
        ["method", "own work an iteration", "an evaluation"],
        loops,
    )
    if warning := neighbours.warning():
        print(warning)


if __name__ == "__main__":
    main()
