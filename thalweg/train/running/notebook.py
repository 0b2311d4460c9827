"""Progress in a notebook: a table with a row for each epoch, and a line on how far the run is."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

from thalweg.train.history import Epoch, History, summary

_SECONDS_BETWEEN_DRAWINGS = 0.3

Display = Callable[..., Any]
"""`IPython.display.display`."""


def notebook_display() -> Display | None:
    """Return what displays an object in the notebook that this runs in; None if it is not one.

    IPython on a terminal is none: it has no kernel.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    display: Display = importlib.import_module("IPython.display").display
    return display


class NotebookTable:
    """Shows losses, metrics and rate of each epoch in one output, which is drawn again as the run goes on.

    Args:
        epochs: how many the run has in all.
        done: how many it had when it began, from a checkpoint.
        display: shows an object, and gives a handle by which it is exchanged.
    """

    wants_steps = True

    def __init__(self, epochs: int, done: int, display: Display) -> None:
        self._epochs = epochs
        self._first = self._done = float(done)
        self._history = History()
        self._notes: list[str] = []
        self._line = ""
        self._started = time.monotonic()
        self._next = 0.0
        self._handle = display(self._page(), raw=True, display_id=True)

    def step(self, epoch: int, fraction: float | None, loss: float) -> None:
        """Say how far the epoch is, a few times a second at most."""
        if time.monotonic() < self._next:
            return
        self._done = epoch - 1 + (fraction or 0.0)
        self._line = f"epoch {epoch} of {self._epochs}  loss {loss:.4g}{self._left()}"
        self._draw()

    def epoch(self, record: Epoch) -> None:
        """Add the epoch's row."""
        self._history.epochs.append(record)
        self._done = float(record.epoch)
        self._line = f"epoch {record.epoch} of {self._epochs}  {summary(record)}{self._left()}"
        if time.monotonic() >= self._next:  # epochs may take a millisecond
            self._draw()

    def note(self, text: str) -> None:
        """Write the line below the table."""
        self._notes.append(text)
        self._draw()

    def close(self, message: str) -> None:
        """Draw the last state, with the closing message."""
        self._line = message
        self._done = -1.0
        self._draw()

    def _left(self) -> str:
        """Return in words how long the epochs that are left will take."""
        done = self._done - self._first
        seconds = time.monotonic() - self._started
        if done <= 0 or self._done >= self._epochs:
            return ""
        return f"  about {seconds / done * (self._epochs - self._done):.3g} s left"

    def _draw(self) -> None:
        self._next = time.monotonic() + _SECONDS_BETWEEN_DRAWINGS
        self._handle.update(self._page(), raw=True)

    def _page(self) -> dict[str, str]:
        """Return what is shown, for front ends with and without HTML."""
        lines = [*self._notes, self._line] if self._line else self._notes
        is_running = self._done >= 0
        bar = f'<progress max="{self._epochs}" value="{self._done:g}"></progress> '
        page = (self._history._repr_html_() if len(self._history) else "") + "".join(
            f"<p>{bar if is_running and line is self._line else ''}{escape(line)}</p>"
            for line in lines
        )
        last = summary(self._history[-1]) if len(self._history) and not is_running else ""
        return {"text/html": page, "text/plain": "\n".join(filter(None, [last, *lines]))}
