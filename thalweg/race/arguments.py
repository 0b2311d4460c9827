"""From what a user asks for to what is raced: the task with its target, the plan, the folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from thalweg.errors import TaskError, suggest
from thalweg.race.entrants.entrant import Contender, Entrant
from thalweg.race.entrants.known import gather_entrants
from thalweg.race.search import SEARCHES, make_search
from thalweg.race.trials.plan import RacePlan, gather_seeds, whole
from thalweg.tasks import Task

_POINTS = 9
"""The points that tune an entrant whose learning rates are not given."""


def make_plan(
    entrants: Iterable[Contender] | None,
    lrs: Sequence[float] | None,
    *,
    trials: int | None,
    search: str | None,
    seeds: int | Iterable[int],
    final_seeds: int | Iterable[int],
    epochs: int,
    batch_size: int | None,
) -> RacePlan:
    """Return the plan of a race.

    Raises:
        TaskError: for an entrant, a search or a budget that cannot be used.
    """
    own_rates = lrs is not None or _all_have_rates(entrants)
    gathered = gather_entrants(entrants, lrs)
    tuning = gather_seeds(seeds)
    if search is None:
        search = "quasi-random" if any(entrant.search for entrant in gathered) else "grid"
    elif search not in SEARCHES:
        hint = suggest(search, SEARCHES) or f" Known are: {', '.join(SEARCHES)}."
        raise TaskError(f"No search is called {search!r}.{hint}")
    if trials is None:
        own = own_rates and search == "grid"
        trials = max(len(entrant.lrs) for entrant in gathered) if own else _POINTS
    trials, epochs = whole("trials", trials), whole("epochs", epochs)
    for entrant in gathered:
        # says now what the first round would say, after a measurement
        make_search(search, entrant, trials=max(1, trials), epochs=max(1, epochs))
    return RacePlan(
        entrants=gathered,
        trials=trials,
        tuning_seeds=tuning,
        final_seeds=gather_seeds(final_seeds, first=max(tuning) + 1),
        epochs=epochs,
        batch_size=batch_size,
        search=search,
    )


def batch_size_of(task: Task, given: int | str | None) -> int | None:
    """Return the rows in a batch: the user's, or the task's own."""
    if given == "task":
        return task.batch_size
    if isinstance(given, str):
        raise TaskError(
            f"batch_size is a whole number, None for all rows, or 'task'; got {given!r}."
        )
    return given


def folder_of(out: str | os.PathLike[str], task: Task) -> Path:
    """Return the folder of a race; a task's name may hold what a file's name cannot."""
    if not os.fspath(out):  # Path would take it for the working folder
        raise TaskError(
            "out is the folder of the records, or None to write nothing; got an empty text."
        )
    name = re.sub(r"[^\w.-]+", "-", task.name)
    return Path(os.fspath(out).replace("{task}", name))


def _all_have_rates(entrants: Any) -> bool:
    """Whether every entrant brings learning rates of its own."""
    if entrants is None or isinstance(entrants, str):
        return False
    each = entrants.values() if hasattr(entrants, "values") else entrants
    return all(isinstance(entrant, Entrant) and bool(entrant.lrs) for entrant in each)
