"""Sorts out a list of callbacks: who is told, when to stop early, where to keep checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from thalweg.errors import TaskError
from thalweg.train.callbacks import Callback, Callbacks, Checkpoint
from thalweg.train.run import BaseRecipe
from thalweg.train.stopping import EarlyStopping

Listener = Callback | EarlyStopping | Checkpoint
"""What a list of callbacks may hold."""

_Kind = TypeVar("_Kind")


def sorted_out(
    recipe: BaseRecipe, checkpoint: Checkpoint, listeners: Iterable[Listener]
) -> tuple[BaseRecipe, Checkpoint, Callbacks]:
    """Return the recipe with the early stopping that is listed, where to keep checkpoints, and the rest.

    Raises:
        TaskError: if it is not a callback, or where one of the two is given twice.
    """
    if isinstance(listeners, Callback | EarlyStopping | Checkpoint) or not isinstance(
        listeners, Iterable
    ):
        raise TaskError(
            f"callbacks must be a list, such as [EarlyStopping()]; got {listeners!r:.80}."
        )
    each = list(listeners)
    stop = _only(EarlyStopping, each, given=recipe.early_stopping is not None)
    keep = _only(Checkpoint, each, given=checkpoint.path is not None)
    if stop is not None:
        recipe = recipe.replace(early_stopping=stop)
    told = Callbacks(c for c in each if not isinstance(c, EarlyStopping | Checkpoint))
    return recipe, keep or checkpoint, told


def _only(kind: type[_Kind], listeners: list[Listener], *, given: bool) -> _Kind | None:
    found = [each for each in listeners if isinstance(each, kind)]
    if len(found) + given > 1:
        argument = " and as an argument" if given else ""
        raise TaskError(
            f"{kind.__name__} is given {'once' if given else len(found)} among the callbacks"
            f"{argument}; a run takes one."
        )
    return found[0] if found else None
