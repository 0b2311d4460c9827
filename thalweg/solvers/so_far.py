"""What a run has found, also where an exception ends it."""

from __future__ import annotations

import contextlib
from typing import Any

from torch import Tensor

from thalweg.solvers.lane import Lane
from thalweg.solvers.runs import Runs
from thalweg.solvers.stop import Status

_HELD = "What was found so far is in this exception's `result`: "


def so_far(run: Runs) -> list[tuple[Lane, Tensor, Tensor]]:
    """Return each lane of a run with its lowest point and the gradient there; none before the first value.

    Lanes that still went on are interrupted.
    """
    going = {lane.index for lane in run.lanes}
    found = []
    for lane in run.everyone:
        if lane.index in going:
            x, g = run.lowest(lane)
            lane.status = lane.status or Status.INTERRUPTED
        else:
            x, g = run.x_end[lane.index], run.g_end[lane.index]
        found.append((lane, x, g))
    return found


def hand_over(error: BaseException, result: Any, what: str) -> None:
    """Give an exception the attribute `result`, and a note that says `what` it holds.

    Of solvers within each other it holds what the outermost has found.
    """
    with contextlib.suppress(AttributeError, TypeError):
        error.result = result  # type: ignore[attr-defined]
        notes = getattr(error, "__notes__", [])
        notes[:] = [note for note in notes if not note.startswith(_HELD)]
        error.add_note(_HELD + what)
