"""The plan and the folder of a race, from its arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.errors import TaskError, suggest
from thalweg.race.arguments import RaceArguments
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.entrants.known import gather_entrants
from thalweg.race.search import SEARCHES, make_search
from thalweg.race.trials.plan import RacePlan, fresh_seeds, gather_seeds, whole
from thalweg.statistics import fewest_first
from thalweg.tasks import Task

_POINTS = 9
"""The points that tune an entrant whose learning rates are not given."""
_FIRST_OF_RUNOFF = 2_000_000
"""Far from the seeds that users give, and from those that set a target."""


def make_plan(arguments: RaceArguments, task: Task) -> RacePlan:
    """Return the plan of a race on a task.

    Raises:
        TaskError: for an entrant, a search or a budget that cannot be used.
    """
    named = arguments.entrants
    if named is not None and not isinstance(named, str | Mapping):
        named = tuple(named)  # it may be an iterator, and is looked at twice
    entrants = gather_entrants(named, arguments.lrs)
    own_rates = arguments.lrs is not None or _all_have_rates(named)
    tuning = gather_seeds(arguments.seeds)
    search = _search_of(arguments, entrants)
    trials = whole("trials", _trials_of(arguments, entrants, search, own_rates=own_rates))
    epochs = whole("epochs", task.epochs if arguments.epochs is None else arguments.epochs)
    for entrant in entrants:
        # so that what a search refuses is refused before anything is measured
        make_search(search, entrant, trials=max(1, trials), epochs=max(1, epochs))
    final = gather_seeds(arguments.final_seeds, first=max(tuning) + 1)
    target = fresh_seeds([*tuning, *final]) if task.target is None else ()
    more = _more_of(arguments, final) if len(entrants) > 1 else 0
    used = (*tuning, *final, *target)
    runoff = fresh_seeds(used, more, first=_FIRST_OF_RUNOFF)
    return RacePlan(
        entrants=entrants,
        trials=trials,
        tuning_seeds=tuning,
        final_seeds=final,
        target_seeds=target,
        runoff_seeds=runoff,
        more_seeds=fresh_seeds((*used, *runoff), more, first=max((*tuning, *final)) + 1),
        epochs=epochs,
        batch_size=_batch_size_of(arguments, task),
        search=search,
    )


def folder_of(out: str | os.PathLike[str] | None, task: Task) -> Path | None:
    """Return the folder of a race, None where nothing is to be written.

    A task's name may hold what a file's name cannot.
    """
    if out is None:
        return None
    if not os.fspath(out):  # Path would take it for the working folder
        raise TaskError(
            "out must be the folder of the records, or None to write nothing; got an empty text."
        )
    name = re.sub(r"[^\w.-]+", "-", task.name)
    return Path(os.fspath(out).replace("{task}", name))


def _search_of(arguments: RaceArguments, entrants: Sequence[Entrant]) -> str:
    search = arguments.search
    if search is None:
        return "quasi-random" if any(entrant.search for entrant in entrants) else "grid"
    if search not in SEARCHES:
        hint = suggest(search, SEARCHES) or f" Known are: {', '.join(SEARCHES)}."
        raise TaskError(f"No search is called {search!r}.{hint}")
    return search


def _trials_of(
    arguments: RaceArguments, entrants: Sequence[Entrant], search: str, *, own_rates: bool
) -> int:
    """The points that tune an entrant: as many as asked for, or as rates are given to a grid."""
    if arguments.trials is not None:
        return arguments.trials
    if search == "grid" and own_rates:
        return max(len(entrant.lrs) for entrant in entrants)
    return _POINTS


def _more_of(arguments: RaceArguments, final: Sequence[int]) -> int:
    """The seeds that are added where they decide: as many as asked for, or as the final has."""
    if arguments.more_seeds is None:
        return len(final) if len(final) >= fewest_first() else 0
    more = whole("more_seeds", arguments.more_seeds)
    if more < 0:
        raise TaskError(f"more_seeds must be a number of seeds, 0 for none; got more_seeds={more}.")
    return more


def _batch_size_of(arguments: RaceArguments, task: Task) -> int | None:
    """The rows in a batch: the user's number, or the task's own."""
    given = arguments.batch_size
    if given == "task":
        return task.batch_size
    if isinstance(given, str):
        raise TaskError(
            f"batch_size must be an integer, None for all rows, or 'task'; got {given!r}."
        )
    return given


def _all_have_rates(entrants: Any) -> bool:
    """Whether every entrant brings learning rates of its own."""
    if entrants is None or isinstance(entrants, str):
        return False
    each = entrants.values() if hasattr(entrants, "values") else entrants
    return all(isinstance(entrant, Entrant) and bool(entrant.lrs) for entrant in each)
