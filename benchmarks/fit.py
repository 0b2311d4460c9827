"""One epoch of the digits network: `fit` beside a hand-written PyTorch loop, interleaved in one
run.

The hand-written loop is a good one: data in memory, one gather an epoch, views as batches,
gradients set to None, the loss summed without leaving the tensor, Adam(fused=True). `fit` does more
in the same time: it checks each loss, measures the training accuracy and keeps a history. Both
train the same model for the same epochs from the same weights; a contestant's time is that of a
whole call, model and optimizer built, divided by its epochs. No set is evaluated.

`fit` also trains with callbacks: one that does nothing, told of each step; a log for TensorBoard that has
the loss of every tenth step; and a run folder, a line an epoch. Below the table stands what each takes, timed
inside: once a run, at its start and end, and for each step, those of epochs and evaluations divided among
the steps.

    python benchmarks/fit.py [--repeats 31] [--epochs 20] [--threads N] [--processor-time]
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from thalweg.objective import Cost
from thalweg.tasks import Data, Task, load_task
from thalweg.train import Callback, RunFolder, Training, fit
from thalweg.train.callbacks import EVENTS

BATCH = 128
LR = 1e-2
PLAIN = "fit, thalweg Adam"


TAKEN: dict[str, list[dict[str, float]]] = {}
"""The seconds that each callback took in each run, by what it was told of."""


class Timed(Callback):
    """Tells another callback, and times it."""

    def __init__(self, name: str, inner: Callback) -> None:
        self.inner, self.taken = inner, dict.fromkeys(EVENTS, 0.0)
        TAKEN.setdefault(name, []).append(self.taken)


def timed(event: str) -> Callable[..., None]:
    def tell(self: Timed, *what: Any) -> None:
        started = time.perf_counter()
        getattr(self.inner, event)(*what)
        self.taken[event] += time.perf_counter() - started

    return tell


for each in EVENTS:
    setattr(Timed, each, timed(each))


class Empty(Callback):
    """Told of each step, it does nothing."""

    def step(self, training: Training, loss: float) -> None:  # noqa: D102
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--processor-time", action="store_true", help="of all threads: for a busy machine"
    )
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    torch.set_num_threads(options.threads)
    task = load_task("digits")
    bare = Task(Data(task.data.train), Cost("cross_entropy", metrics="accuracy"), task.model)
    contestants = contestants_on(bare, options.epochs)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(options.repeats + 2):
        for name, train in contestants.items():
            started = clock()
            train()
            if repeat >= 2:  # the first two are warm-up: compiled kernels, allocator, caches
                times[name].append((clock() - started) / options.epochs)
            else:
                TAKEN.clear()
    report(times, bare, options.epochs)
    report_callbacks(times, bare, options.epochs)


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
    table[PLAIN] = lambda: run_fit(task, optim.Adam, epochs)
    makers: dict[str, Callable[[str], Callback]] = {
        "  with an empty callback": lambda _: Empty(),
        "  with a run folder": RunFolder,
    }
    try:
        from thalweg.train.loggers import TensorBoard

        TensorBoard()
        makers["  with TensorBoard, every 10 steps"] = TensorBoard
    except ImportError:
        pass
    for name, make in makers.items():
        table[name] = functools.partial(in_folder, task, optim.Adam, epochs, name, make)
    return table


def run_fit(task: Task, optimizer: Any, epochs: int, *callbacks: Callback) -> Any:
    return fit(
        task,
        optimizer,
        lr=LR,
        epochs=epochs,
        batch_size=BATCH,
        progress=False,
        callbacks=callbacks,
    )


def in_folder(
    task: Task, optimizer: Any, epochs: int, name: str, make: Callable[[str], Callback]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_fit(task, optimizer, epochs, Timed(name, make(folder)))


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


def report_callbacks(times: dict[str, list[float]], task: Task, epochs: int) -> None:
    if PLAIN not in times:
        return
    steps = epochs * -(-(task.data.train.rows or 0) // BATCH)
    step = statistics.median(times[PLAIN]) * epochs / steps
    for name, runs in TAKEN.items():
        once = statistics.median(sum(each[e] for e in ("start", "end")) for each in runs)
        often = [sum(each[e] for e in ("step", "evaluation", "epoch")) / steps for each in runs]
        low, middle, high = statistics.quantiles(often, n=4)
        print(
            f"{name.strip():34} {1e3 * once:6.2f} ms a run, {1e6 * middle:6.2f} µs a step: ", end=""
        )
        print(f"{100 * middle / step:.2f} % ({100 * low / step:.2f}–{100 * high / step:.2f})")


if __name__ == "__main__":
    main()
