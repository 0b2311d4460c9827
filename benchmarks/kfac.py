"""What a step of KFAC costs beside Adam's, and races of both by gradient-equivalents.

Steps are whole training steps (forward and backward pass, update) on batches of 128 rows, on one thread, in
processor time, interleaved; a sample of KFAC is as many steps as lie between two refreshes, so that each has
one. In the races every learning rate of a grid is tried, and the final says how many gradients each needs to
the target.

    python benchmarks/kfac.py             about 2 minutes
    python benchmarks/kfac.py --steps     the steps alone, about 20 seconds
    python benchmarks/kfac.py --races     the races alone
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from _contest import Contestant, contest
from solvers_speed import Timed
from torch import nn

from thalweg import optim
from thalweg.objective.losses import as_loss
from thalweg.race import race
from thalweg.race.entrants.known import Entrant
from thalweg.tasks import load_task

REFRESH = 10


def nets() -> dict[str, tuple[Callable[[], nn.Module], Any, Any, str]]:
    """Return what builds a model, a batch of 128 rows, and the loss."""
    found: dict[str, tuple[Callable[[], nn.Module], Any, Any, str]] = {}
    for name in ("deep_linear", "digits", "digits_cnn"):
        task = load_task(name)
        x, y = next(iter(task.data.train.batches(128)))
        found[name] = (task.build, x, y, task.cost.surrogate.name)
    _, x, y, loss = found["digits"]

    def wide() -> nn.Module:
        layers = nn.Linear(64, 512), nn.Tanh(), nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 10)
        return nn.Sequential(nn.Flatten(), *layers)

    found["wide"] = (wide, x, y, loss)
    return found


def contestants(build: Callable[[], nn.Module], x: Any, y: Any, loss: str) -> list[Contestant]:
    """Return ten steps of each optimizer."""
    made: dict[str, Callable[[nn.Module], Any]] = {
        "adam": lambda model: optim.Adam(model, lr=1e-4),
        "torch.optim.Adam": lambda model: torch.optim.Adam(model.parameters(), lr=1e-4),
        "kfac, sampled": lambda model: optim.KFAC(model, lr=1e-4, refresh=REFRESH),
        "kfac, empirical": lambda model: optim.KFAC(
            model, lr=1e-4, refresh=REFRESH, fisher="empirical"
        ),
        "kfac, refresh 1": lambda model: optim.KFAC(model, lr=1e-4, refresh=1),
    }
    return [Timed(name, _steps(build(), make, x, y, loss)) for name, make in made.items()]


def _steps(model: nn.Module, make: Callable[[nn.Module], Any], x: Any, y: Any, loss: str) -> Any:
    optimizer, function = make(model), as_loss(loss)
    y, parameters = function.match(model(x), y), list(model.parameters())

    def run() -> None:
        for _ in range(REFRESH):
            for p in parameters:
                p.grad = None
            outputs = model(x)
            if isinstance(optimizer, optim.KFAC):
                optimizer.observe(outputs, y, function)
            function(outputs, y).backward()
            optimizer.step()

    return run


def print_steps(seconds: float) -> None:
    """Print a table of steps."""
    print(f"{'net':<12} {'optimizer':<18} {'ms a step':>10} {'of Adam':>8}")
    for name, given in nets().items():
        found = contestants(*given)
        contest(found, seconds)
        for each in found:
            ratio = each.median / found[0].median
            print(f"{name:<12} {each.name:<18} {1e3 * each.median / REFRESH:>10.3f} {ratio:>8.2f}")


def print_races(seeds: int, epochs: int) -> None:
    """Race KFAC and AdamW."""
    rates = {"kfac": (0.0316, 0.1, 0.316, 1.0), "adamw": (0.00316, 0.01, 0.0316, 0.1)}
    for task in ("deep_linear", "digits"):
        entrants = [
            Entrant("kfac", optim.KFAC, {}, rates["kfac"]),
            Entrant("adamw", optim.AdamW, {}, rates["adamw"]),
        ]
        print(f"\n{task}")
        print(race(load_task(task), entrants, final_seeds=seeds, epochs=epochs, out=None))


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--races", action="store_true")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.races:
        print_steps(given.seconds)
    if not given.steps:
        print_races(given.seeds, given.epochs)


if __name__ == "__main__":
    main()
