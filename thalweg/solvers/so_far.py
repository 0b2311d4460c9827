"""What a run has found, also where an exception ends it."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

from thalweg.solvers.lane import Lane
from thalweg.solvers.runs import Found

_HELD = "What was found so far is in this exception's `result`: "


class Interruptible(Protocol):
    """A run, or several, of any loop."""

    def run(self) -> list[Lane]:
        """Run all lanes to their ends and return them, in their order."""
        ...

    def so_far(self) -> list[Found]:
        """Return each lane with its lowest point and the gradient there; those that go on are interrupted.

        There are none before the first value.
        """
        ...


def hand_over(error: BaseException, result: Any, what: str) -> None:
    """Give an exception the attribute `result`, and a note that says `what` it holds.

    Of solvers within each other it holds what the outermost has found.
    """
    with contextlib.suppress(AttributeError, TypeError):
        error.result = result  # type: ignore[attr-defined]
        notes = getattr(error, "__notes__", [])
        notes[:] = [note for note in notes if not note.startswith(_HELD)]
        error.add_note(_HELD + what)
