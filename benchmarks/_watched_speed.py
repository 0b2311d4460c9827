"""What watching costs: the same training with the doctor and without, block by block in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from _case import Case

from thalweg import doctor
from thalweg.tasks import load_task

BLOCK = 200
"""Steps that one of the two takes before the other one's turn."""


def cases(steps: int) -> dict[str, Case]:
    """Return the cases, each with as many epochs as the steps need."""
    return {
        name: Case(task, "adam", lr, -(-steps * batch // (task.data.train.rows or 1)), batch)
        for name, lr, batch in (
            ("digits", 1e-2, 128),
            ("digits_cnn", 3e-3, 32),
            ("char_transformer", 1e-3, 16),
        )
        for task in (load_task(name),)
    }


def _steps(case: Case, budget: float | None) -> Iterator[None]:
    """Train, with a doctor where there is a budget for one."""
    loop = case.loop()
    if budget is None:
        for loss, _ in loop:
            loss.item()
            yield
        return
    cost = case.task.cost
    with doctor.Doctor(loop.model, loop.optimizer, loss=cost, budget=budget) as watching:
        for loss, batch in loop:
            loss.item()
            watching.step(loss, batch=batch)
            yield


def print_overhead(steps: int, budget: float) -> None:
    """Print the processor time of each case with the doctor, as a share of that without."""
    print(f"{steps} steps, budget {budget:.0%}, blocks of {BLOCK} steps in turns, processor time")
    print(
        f"{'case':18} {'ms a step':>10} {'with the doctor':>16} {'in all':>8} {'median block':>13}"
    )
    for name, case in cases(steps).items():
        for _ in zip(range(BLOCK), _steps(case, None), strict=False):
            pass  # what is compiled and imported at the first step is part of neither
        runs = (_steps(case, None), _steps(case, budget))
        blocks: tuple[list[float], list[float]] = ([], [])
        for turn in range(steps // BLOCK):
            for which in (0, 1) if turn % 2 else (1, 0):
                began = time.process_time()
                for _ in range(BLOCK):
                    next(runs[which])
                blocks[which].append(time.process_time() - began)
        off, on = (sum(each) for each in blocks)
        ratios = [b / a for a, b in zip(*blocks, strict=True)]
        print(
            f"{name:18} {1e3 * off / steps:10.3f} {1e3 * on / steps:16.3f} {on / off - 1:+8.1%} "
            f"{statistics.median(ratios) - 1:+13.1%}",
            flush=True,
        )
