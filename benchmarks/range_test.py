"""The suggestions of `find_lr`: how much they vary with the seeds, and how well they train.

For each task and optimizer, 25 sweeps are parted into 5 range tests of 5 seeds each; their suggestions
differ by chance alone. Beside them, fixed rates on a grid of two a decade train for the same number of
epochs, two seeds each; the best by validation loss at the end is the one to compare with. The suggestion
(the median one) is trained in the same way.

    python benchmarks/range_test.py [--tasks digits,breast_cancer] [--optimizers adam,sgd] [--epochs 30]
"""

from __future__ import annotations

import argparse
import functools
import statistics
from typing import Any

import torch

from thalweg import optim
from thalweg.tasks import Task, load_task
from thalweg.train import FitDivergedError, fit
from thalweg.train.lr_finder.finder import find_lr
from thalweg.train.lr_finder.valley import find_valley
from thalweg.train.machine.threads import threads_for, torch_threads

TASKS = "digits,breast_cancer,digits_cnn,char_transformer"
SEEDS = 5
TESTS = 5
OPTIMIZERS: dict[str, tuple[Any, range]] = {  # and the half decades of its grid
    "adam": (optim.Adam, range(-8, 1)),
    "sgd": (optim.SGD, range(-5, 4)),
    "momentum": (functools.partial(optim.SGD, momentum=0.9), range(-5, 3)),
    "lion": (optim.Lion, range(-10, -2)),
    "adagrad": (optim.Adagrad, range(-6, 3)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--optimizers", default="adam,sgd,momentum")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    print(
        "| task | optimizer | suggestions | spread | best fixed | loss there | loss at suggestion |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in options.tasks.split(","):
        task = load_task(name)
        with torch_threads(threads_for(task)):
            for called in options.optimizers.split(","):
                print(row(task, called, options.epochs), flush=True)


def row(task: Task, called: str, epochs: int) -> str:
    make, halves = OPTIMIZERS[called]
    test = find_lr(task, make, seeds=SEEDS * TESTS)
    parts = [test.sweeps[k : k + SEEDS] for k in range(0, SEEDS * TESTS, SEEDS)]
    found = [find_valley(test.rates, part).suggestion for part in parts]
    known = [rate for rate in found if rate is not None]
    if len(known) < TESTS:
        return f"| {task.name} | {called} | {len(known)} of {TESTS} | | | | |"
    low, middle, high = min(known), statistics.median(known), max(known)
    losses = {10 ** (half / 2): loss(task, make, 10 ** (half / 2), epochs) for half in halves}
    best = min(losses, key=lambda rate: losses[rate])
    return (
        f"| {task.name} | {called} | {low:.2g} to {high:.2g} | {high / low:.2f} | {best:.2g} | "
        f"{losses[best]:.3f} | {loss(task, make, middle, epochs):.3f} |"
    )


def loss(task: Task, make: Any, lr: float, epochs: int) -> float:
    """Return the mean validation loss at the end of two runs; infinite where one diverges."""
    ends = []
    for seed in (100, 101):
        try:
            run = fit(task, make, lr=lr, epochs=epochs, seed=seed, progress=False)
        except FitDivergedError:
            return float("inf")
        ends.append(run.evaluate("validation").loss)
    return statistics.fmean(ends)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
