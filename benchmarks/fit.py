"""One epoch of the digits network: `fit` beside a hand-written PyTorch loop, interleaved in one
run.

The hand-written loop is a good one: data in memory, one gather an epoch, views as batches,
gradients set to None, the loss summed without leaving the tensor, Adam(fused=True). `fit` does more
in the same time: it checks each loss, measures the training accuracy and keeps a history. Both
train the same model for the same epochs from the same weights; a contestant's time is that of a
whole call, model and optimizer built, divided by its epochs. No set is evaluated.

    python benchmarks/fit.py [--repeats 31] [--epochs 20] [--threads N]
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from thalweg.objective import Cost
from thalweg.tasks import Data, Task, load_task
from thalweg.train import fit

BATCH = 128
LR = 1e-2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    task = load_task("digits")
    bare = Task(Data(task.data.train), Cost("cross_entropy", metrics="accuracy"), task.model)
    contestants = contestants_on(bare, options.epochs)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(options.repeats + 2):
        for name, train in contestants.items():
            started = time.perf_counter()
            train()
            if repeat >= 2:  # the first two are warm-up: compiled kernels, allocator, caches
                times[name].append((time.perf_counter() - started) / options.epochs)
    report(times, bare, options.epochs)


def contestants_on(task: Task, epochs: int) -> dict[str, Callable[[], Any]]:
    fused = functools.partial(torch.optim.Adam, fused=True)
    table: dict[str, Callable[[], Any]] = {
        "hand-written, torch Adam(fused)": lambda: by_hand(task, epochs),
        "fit, torch Adam(fused)": lambda: run_fit(task, fused, epochs),
    }
    try:
        from thalweg import optim
    except ImportError:
        return table
    table["fit, thalweg Adam"] = lambda: run_fit(task, optim.Adam, epochs)
    return table


def run_fit(task: Task, optimizer: Any, epochs: int) -> Any:
    return fit(task, optimizer, lr=LR, epochs=epochs, batch_size=BATCH, progress=False)


def by_hand(task: Task, epochs: int) -> list[float]:
    torch.manual_seed(0)
    model = task.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    inputs, targets = task.data.train.inputs, task.data.train.targets  # type: ignore[attr-defined]
    history = []
    for _ in range(epochs):
        order = torch.randperm(len(inputs))
        total = torch.zeros(())
        for x, y in zip(inputs[order].split(BATCH), targets[order].split(BATCH), strict=True):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(y)
        history.append(total.item() / len(inputs))
    return history


def report(times: dict[str, list[float]], task: Task, epochs: int) -> None:
    rows = task.data.train.rows
    print(f"digits 64-32-10, {rows} rows, batch {BATCH}, {epochs} epochs a call, ", end="")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'contestant':34} {'ms an epoch':>12} {'quartiles':>16} {'ratio':>7}")
    base = statistics.median(next(iter(times.values())))
    for name, values in times.items():
        low, middle, high = statistics.quantiles([1e3 * value for value in values], n=4)
        print(f"{name:34} {middle:12.3f} {low:7.3f}–{high:<8.3f} {middle / (1e3 * base):7.2f}")


if __name__ == "__main__":
    main()
