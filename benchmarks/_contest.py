"""Timing of several contestants in one run, interleaved, and tables of the results."""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Contestant:
    """A thing to be timed, and the seconds that one run of it took, once for each sample."""

    name: str
    run: Callable[[], object]
    repeats: int = 1
    samples: list[float] = field(default_factory=list)
    spent: float = 0.0
    clock: Callable[[], float] = time.perf_counter

    def sample(self) -> None:
        start = self.clock()
        for _ in range(self.repeats):
            self.run()
        elapsed = self.clock() - start
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


class Neighbours:
    """Measures, between its making and `share`, how much of the machine other processes have used.

    torch's threads wait for each other by spinning, so that a busy neighbour can make its steps a
    hundred times slower: times taken beside one compare nothing.
    """

    def __init__(self) -> None:
        self.machine, self.own = busy_seconds(), time.process_time()
        self.start = time.perf_counter()

    @property
    def share(self) -> float:
        """The share of all processors, 0 to 1; NaN where the system does not tell."""
        others = busy_seconds() - self.machine - (time.process_time() - self.own)
        wall = time.perf_counter() - self.start
        return max(0.0, others) / (wall * (os.cpu_count() or 1))

    def warning(self, most: float = 0.05) -> str | None:
        share = self.share
        if math.isnan(share) or share <= most:
            return None
        return (
            f"Other processes used {share:.0%} of the machine meanwhile. Ratios taken on a busy machine "
            "are wrong, mostly against torch: repeat this on an idle one."
        )


def busy_seconds() -> float:
    """Return the processor seconds that all processes have used since the machine started."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return math.nan
    user, nice, system, _, _, interrupt, soft = map(int, fields[:7])
    return (user + nice + system + interrupt + soft) / os.sysconf("SC_CLK_TCK")


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
