"""Progress of a race on the standard error: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thalweg.cli.console import err
from thalweg.report import duration

if TYPE_CHECKING:
    from thalweg.race import Race, RaceProgress

Show = Callable[["RaceProgress"], None]

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_DRAWINGS = 0.1


@contextmanager
def race_progress(contest: Race) -> Iterator[Show]:
    """Give the function that shows the progress of a race, for as long as the block lasts."""
    console = err()
    console.print(_opening(contest), markup=False, soft_wrap=True)
    if not console.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        auto_refresh=False,  # a thread that draws would disturb the trials' timing
    ) as bar:
        row = bar.add_task("", total=None)
        drawn = 0.0

        def show(progress: RaceProgress) -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn < _SECONDS_BETWEEN_DRAWINGS:
                return
            drawn = now
            bar.update(
                row,
                completed=progress.done,
                total=progress.planned,
                description=_words(progress),
                refresh=True,
            )

        yield show


def _opening(contest: Race) -> str:
    plan = contest.plan
    trials = len(plan.trials())
    target = contest.subject.target
    goal = (
        f"to validation {contest.subject.metric.replace('_', ' ')} {target:g}"
        if target is not None
        else "without a target"
    )
    kept = f", {contest.reused} of them kept from before" if contest.reused else ""
    return (
        f"Racing {_count(len(plan.entrants), 'optimizer')} on {contest.subject.task} {goal}: "
        f"{_count(trials, 'trial')} of {_count(plan.epochs, 'epoch')}{kept}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _lines() -> Show:
    """Print a line now and then, so that a log shows life without drowning in it."""
    last = time.monotonic()

    def show(progress: RaceProgress) -> None:
        nonlocal last
        now = time.monotonic()
        ended = progress.done == progress.planned
        if ended or now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            err().print(
                f"{progress.done} of {_count(progress.planned, 'trial')}  {_words(progress)}",
                markup=False,
                soft_wrap=True,
            )

    return show


def _words(progress: RaceProgress) -> str:
    trial = progress.current
    if trial is None:
        return "done"
    left = (
        "" if progress.seconds_left is None else f", about {duration(progress.seconds_left)} left"
    )
    return f"{trial.entrant.name}, learning rate {trial.lr:g}, seed {trial.seed}{left}"
