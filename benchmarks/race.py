"""The same training runs three ways, interleaved in one process: a race, a loop over torch.optim,
and Optuna driving that loop.

Ten optimizers, nine learning rates each, three seeds: 270 runs of the digits network (64-32-10, 20
epochs, batches of 128). Every run evaluates the validation set as often (100 times) and keeps its
learning curve. The race builds its keys, measures whether stacking pays, stacks, writes its records
to the disk, measures the seconds of a step, and runs one final trial of each entrant more: all that
counts against it. The loop is a good hand-written one: data in memory, one gather an epoch, views
as batches, gradients set to None, one thread, which suits so small a model best. Optuna adds a study
with its GridSampler around each optimizer.

    python benchmarks/race.py [--repeats 3] [--part 1.0]

`--part` runs only that part of the learning rates, for a quick look.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from thalweg import optim
from thalweg.race import Entrant, Race, log_grid
from thalweg.tasks import Task, load_task
from thalweg.train.machine.threads import torch_threads

EPOCHS, BATCH, SEEDS = 20, 128, 3
# name, torch's class, thalweg's, hyperparameters, the lowest learning rate
FIELD: list[tuple[str, Any, Any, dict[str, Any], float]] = [
    ("sgd", torch.optim.SGD, optim.SGD, {}, 1e-3),
    ("momentum", torch.optim.SGD, optim.SGD, {"momentum": 0.9}, 1e-4),
    ("nesterov", torch.optim.SGD, optim.SGD, {"momentum": 0.9, "nesterov": True}, 1e-4),
    ("adagrad", torch.optim.Adagrad, optim.Adagrad, {}, 1e-4),
    ("rmsprop", torch.optim.RMSprop, optim.RMSprop, {}, 1e-5),
    ("adam", torch.optim.Adam, optim.Adam, {}, 1e-5),
    ("adamw", torch.optim.AdamW, optim.AdamW, {}, 1e-5),
    ("nadam", torch.optim.NAdam, optim.NAdam, {}, 1e-5),
    ("radam", torch.optim.RAdam, optim.RAdam, {}, 1e-5),
    ("adamax", torch.optim.Adamax, optim.Adamax, {}, 1e-5),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--part", type=float, default=1.0)
    options = parser.parse_args()
    points = max(1, round(9 * options.part))
    task = load_task("digits")
    contestants: dict[str, Callable[[], Any]] = {
        "torch.optim, one run after another": functools.partial(one_by_one, task, points),
        "Optuna around torch.optim": functools.partial(by_optuna, task, points),
        "race, each trial alone": functools.partial(by_race, task, points, False),
        "race, stacked": functools.partial(by_race, task, points, True),
        "race, as it decides": functools.partial(by_race, task, points, None),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    warm_up(task)
    for _ in range(options.repeats):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    report(times, 10 * points * SEEDS)


def by_race(task: Task, points: int, stack: bool | None) -> None:
    entrants = [
        Entrant(name, ours, fixed, log_grid(lowest, points))
        for name, _, ours, fixed, lowest in FIELD
    ]
    with tempfile.TemporaryDirectory() as folder:
        contest = Race(
            task,
            entrants,
            seeds=SEEDS,
            final_seeds=1,
            epochs=EPOCHS,
            batch_size=BATCH,
            out=folder,
            stack=stack,
        )
        contest.run()
        assert len(contest.result().records) == 10 * points * SEEDS + 10


def one_by_one(task: Task, points: int) -> None:
    with torch_threads(1):
        for _, theirs, _, fixed, lowest in FIELD:
            for lr in log_grid(lowest, points):
                for seed in range(SEEDS):
                    train(task, functools.partial(theirs, lr=lr, **fixed), seed)


def by_optuna(task: Task, points: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with torch_threads(1):
        for _, theirs, _, fixed, lowest in FIELD:
            grid = {"lr": list(log_grid(lowest, points)), "seed": list(range(SEEDS))}

            def objective(
                trial: Any, grid: Any = grid, theirs: Any = theirs, fixed: Any = fixed
            ) -> float:
                lr = trial.suggest_categorical("lr", grid["lr"])
                seed = trial.suggest_categorical("seed", grid["seed"])
                curve = train(task, functools.partial(theirs, lr=lr, **fixed), seed)
                return curve[-1][1]

            study = optuna.create_study(
                direction="maximize", sampler=optuna.samplers.GridSampler(grid, seed=0)
            )
            study.optimize(objective, n_trials=points * SEEDS)


def train(task: Task, optimizer_of: Any, seed: int) -> list[tuple[float, float]]:
    """A good hand-written loop; returns loss and accuracy of the validation set on the way."""
    torch.manual_seed(seed)
    model = task.build()
    optimizer = optimizer_of(model.parameters())
    inputs, targets = task.data.train.inputs, task.data.train.targets  # type: ignore[attr-defined]
    held, labels = task.data.validation.inputs, task.data.validation.targets  # type: ignore[union-attr]
    between = max(1, math.ceil(len(inputs) / BATCH) * EPOCHS // 100)
    curve, step = [], 0
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs))
        for x, y in zip(inputs[order].split(BATCH), targets[order].split(BATCH), strict=True):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            if not math.isfinite(loss.item()):
                return [*curve, (math.inf, 0.0)]
            loss.backward()
            optimizer.step()
            step += 1
            if step % between == 0:
                model.eval()
                with torch.no_grad():
                    outputs = model(held)
                    right = (outputs.argmax(1) == labels).float().mean().item()
                    curve.append((functional.cross_entropy(outputs, labels).item(), right))
                model.train()
    return curve


def warm_up(task: Task) -> None:
    """Compile and import what the first call of each would pay for."""
    by_race(task, 1, None)
    with torch_threads(1):
        for _, theirs, _, fixed, lowest in FIELD:
            train(task, functools.partial(theirs, lr=lowest, **fixed), 0)


def report(times: dict[str, list[float]], runs: int) -> None:
    print(f"{runs} runs of digits, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'contestant':38} {'seconds':>8} {'range':>15} {'times faster':>13}")
    base = statistics.median(next(iter(times.values())))
    for name, values in times.items():
        middle = statistics.median(values)
        spread = f"{min(values):.1f}–{max(values):.1f}"
        print(f"{name:38} {middle:8.1f} {spread:>15} {base / middle:13.2f}")


if __name__ == "__main__":
    main()
