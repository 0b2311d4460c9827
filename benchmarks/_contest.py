"""Timing of several contestants in one run, interleaved, and tables of the results."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Contestant:
    """A thing to be timed, and the seconds that one run of it took, once for each sample."""

    name: str
    run: Callable[[], object]
    repeats: int = 1
    samples: list[float] = field(default_factory=list)
    spent: float = 0.0

    def sample(self) -> None:
        start = time.perf_counter()
        for _ in range(self.repeats):
            self.run()
        elapsed = time.perf_counter() - start
        self.spent += elapsed
        self.samples.append(elapsed / self.repeats)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def contest(
    contestants: Sequence[Contestant],
    seconds: float,
    *,
    most: int = 200,
    fewest: int = 3,
    shortest: float = 0.004,
) -> None:
    """Fill the samples of all contestants, interleaved, within about `seconds` altogether.

    Two runs of each come first and are not counted. The next sample always goes to the contestant
    that has had the least time, so that each gets the same share, and a disturbance of the machine
    hits all of them alike; a slow one has fewer samples, never fewer than `fewest`. Runs shorter
    than `shortest` seconds are timed several at a time.
    """
    for contestant in contestants:
        contestant.run()
        start = time.perf_counter()
        contestant.run()
        single = time.perf_counter() - start
        contestant.repeats = max(1, min(1000, round(shortest / max(single, 1e-7))))
    order = random.Random(0)
    share = seconds / len(contestants)
    while waiting := [
        c
        for c in contestants
        if len(c.samples) < fewest or (c.spent < share and len(c.samples) < most)
    ]:
        order.shuffle(waiting)
        min(waiting, key=lambda c: c.spent).sample()


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, with rich where it is installed."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        print(f"\n{title}")
        for row in (columns, *rows):
            print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
        return
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(
        width=max(100, sum(max(map(len, c)) + 3 for c in zip(columns, *rows, strict=True)) + 1)
    ).print(table)
