"""Progress: a table in a notebook, a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

from thalweg.train.history import Epoch, summary
from thalweg.train.running.notebook import NotebookTable, notebook_display


class Reporter(Protocol):
    """What shows a run's progress."""

    wants_steps: bool

    def step(self, epoch: int, fraction: float | None, loss: float) -> None:
        """Show that a part of an epoch is done; `fraction` None where its length is not known."""

    def epoch(self, record: Epoch) -> None:
        """Show that an epoch is done."""

    def note(self, text: str) -> None:
        """Show a line of advice."""

    def close(self, message: str) -> None:
        """Show a closing message, and end."""


class Silent:
    """Shows nothing."""

    wants_steps = False

    def step(self, epoch: int, fraction: float | None, loss: float) -> None:
        """Show nothing."""

    def epoch(self, record: Epoch) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def close(self, message: str) -> None:
        """Show nothing."""


class PlainLines:
    """Writes one plain line for each epoch, for logs and pipes."""

    wants_steps = False

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def step(self, epoch: int, fraction: float | None, loss: float) -> None:
        """Show nothing within an epoch."""

    def epoch(self, record: Epoch) -> None:
        """Write the epoch's line."""
        print(
            f"epoch {record.epoch}/{self._epochs}  {summary(record)}  {record.seconds:.2f} s",
            file=sys.stderr,
            flush=True,
        )

    def note(self, text: str) -> None:
        """Write the line."""
        print(text, file=sys.stderr, flush=True)

    def close(self, message: str) -> None:
        """Write the closing message."""
        if message:
            print(message, file=sys.stderr, flush=True)


class Bar:
    """A progress bar by rich, with the latest figures beside it."""

    wants_steps = True

    def __init__(self, epochs: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._epochs = epochs
        self._next = 0.0
        self._progress: Any = Progress(
            TextColumn("epoch {task.fields[number]}/{task.total:.0f}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(
            "", total=epochs, completed=done, number=done, figures=""
        )
        self._progress.start()

    def step(self, epoch: int, fraction: float | None, loss: float) -> None:
        """Move the bar, a few times a second at most."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 0.2
        done = epoch - 1 + (fraction or 0.0)
        self._progress.update(self._task, completed=done, number=epoch, figures=f"loss {loss:.4g}")

    def epoch(self, record: Epoch) -> None:
        """Move the bar to the epoch's end and show its figures."""
        self._progress.update(
            self._task, completed=record.epoch, number=record.epoch, figures=summary(record)
        )

    def note(self, text: str) -> None:
        """Write the line above the bar."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self, message: str) -> None:
        """Stop the bar and write the closing message."""
        self._progress.stop()
        if message:
            self._progress.console.print(message, highlight=False, markup=False)


def reporter(progress: bool | None, epochs: int, done: int) -> Reporter:
    """Return what shows progress: `progress` None is a table in a notebook, a bar on a terminal and lines
    elsewhere, False nothing.
    """
    if progress is False:
        return Silent()
    display = notebook_display()
    if display is not None:
        return NotebookTable(epochs, done, display)
    if sys.stderr.isatty():
        try:
            return Bar(epochs, done)
        except ImportError:  # rich is optional: without it, plain lines
            pass
    return PlainLines(epochs)
