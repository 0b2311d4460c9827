"""Searches of hyperparameters, which all spend the same budget: `make_search` builds one by name."""

from __future__ import annotations

from thalweg.errors import TaskError, suggest
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.search.base import Ask, Score, Search
from thalweg.race.search.grid import GridSearch
from thalweg.race.search.halving import HalvingSearch, rungs
from thalweg.race.search.quasi_random import QuasiRandomSearch
from thalweg.race.search.tpe import TpeSearch

__all__ = [
    "SEARCHES",
    "Ask",
    "GridSearch",
    "HalvingSearch",
    "QuasiRandomSearch",
    "Score",
    "Search",
    "TpeSearch",
    "make_search",
    "rungs",
]

_DRAWING: dict[str, type[QuasiRandomSearch | HalvingSearch | TpeSearch]] = {
    "quasi-random": QuasiRandomSearch,
    "halving": HalvingSearch,
    "tpe": TpeSearch,
}
SEARCHES = ("grid", *_DRAWING)
"""The names of the searches."""


def make_search(name: str, entrant: Entrant, *, trials: int, epochs: int, seed: int = 0) -> Search:
    """Return the search of a name, for one entrant.

    Args:
        name: "grid" (follows the best learning rate), "quasi-random" (all points at once),
            "halving" (many points for a short while, the best for longer) or "tpe" (a model of what
            was tried; needs Optuna).
        entrant: whose learning rates and other hyperparameters are searched.
        trials: the budget, in points at full length.
        epochs: the full length of a trial.
        seed: of what is drawn; each entrant has a stream of its own. The grid draws nothing.

    Raises:
        TaskError: for a name that no search has, a budget of nothing, an entrant without learning
            rates, or a grid for an entrant with more to search.
        MissingExtraError: if the search needs a package that is not installed.

    >>> from thalweg.race.entrants.known import find_entrant
    >>> len(make_search("grid", find_entrant("adam"), trials=9, epochs=10).ask())
    7
    """
    if name not in SEARCHES:
        hint = suggest(name, SEARCHES) or f" Known are: {', '.join(SEARCHES)}."
        raise TaskError(f"No search is called {name!r}.{hint}")
    if not entrant.lrs:
        raise TaskError(f"The entrant {entrant.name!r} has no learning rates to try.")
    if name == "grid":
        return GridSearch(entrant, trials=trials, epochs=epochs)
    return _DRAWING[name](entrant, trials=trials, epochs=epochs, seed=seed)
