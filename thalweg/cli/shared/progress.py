"""Progress of a race on the standard error: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thalweg.cli.shared.console import err
from thalweg.numeric import plural
from thalweg.report import duration

if TYPE_CHECKING:
    from thalweg.race import RaceProgress
    from thalweg.race.progress import Show

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_DRAWINGS = 0.1


@contextmanager
def race_progress(opening: str) -> Iterator[Show]:
    """Print the opening line, and give a function that shows progress inside the block."""
    console = err()
    console.print(opening, markup=False, soft_wrap=True)
    if not console.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        auto_refresh=False,  # a thread that draws would disturb the trials' timing
    ) as bar:
        row = bar.add_task("", total=1.0)
        drawn = 0.0

        def show(progress: RaceProgress) -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn < _SECONDS_BETWEEN_DRAWINGS:
                return
            drawn = now
            bar.update(row, completed=progress.share, description=_words(progress), refresh=True)

        yield show


def _lines() -> Show:
    """Print a line now and then, so that a log shows life without drowning in it."""
    last = time.monotonic()

    def show(progress: RaceProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if not progress.running or now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            err().print(_words(progress), markup=False, soft_wrap=True)

    return show


_STAGES = {"target": "setting the target", "runoff": "choosing among close points"}


def _words(progress: RaceProgress) -> str:
    done = f"{progress.done} of {plural(progress.planned, 'trial')}"
    if not progress.running:
        return f"{done}, done"
    first = progress.running[0]
    stage = _STAGES.get(first.stage, first.stage)
    if len(progress.running) > 1:
        what = f"{len(progress.running)} models together"
    else:
        what = f"{first.entrant.name}, {first.point}, seed {first.seed}"
    left = (
        "" if progress.seconds_left is None else f", about {duration(progress.seconds_left)} left"
    )
    return f"{done}, {stage}: {what}{left}"
