"""Makes the recipe of a saved run again, to go on with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from thalweg.errors import CheckpointError, TaskError, ThalwegError, sentence
from thalweg.init.named import find_strategy
from thalweg.numeric import is_real
from thalweg.train.folder.reading import SavedRun
from thalweg.train.recipe import Recipe
from thalweg.train.staged import Staged

_BY_TEXT = ("scheduler", "early_stopping", "stop_at")
"""Settings that the record holds in words alone."""


def recipe_of(
    run: SavedRun,
    epochs: int | None = None,
    strategy_named: Callable[[str], Staged] | None = None,
) -> Recipe:
    """Return the recipe of a saved run, for more epochs where they are given.

    `strategy_named` makes a strategy of the text that the record has; None where none can be made.

    Raises:
        CheckpointError: the recipe holds what no text stands for: an optimizer that was not named, a
            schedule or a rule to stop made in Python.
    """
    given = run.record["recipe"]
    lr = given.get("lr")
    odd = [name for name in _BY_TEXT if given.get(name) is not None]
    if not given.get("by_name"):
        odd.append("optimizer")
    if lr is not None and not is_real(lr):
        odd.append("lr")
    if not _is_named(given.get("init")):
        odd.append("init")
    strategy = given.get("strategy")
    if strategy is not None and (strategy_named is None or "<" in strategy):
        odd.append("strategy")
    if odd:
        raise CheckpointError(
            f"The run {run.name} was made in Python, and its record holds {' and '.join(odd)} in words "
            f"alone. Go on with it there: fit(…, callbacks=[RunFolder({str(run.folder)!r}, "
            "resume=True), Checkpoint(…, resume=True)])."
        )
    known = {field.name for field in dataclasses.fields(Recipe)}
    settings: dict[str, Any] = {k: v for k, v in given.items() if k in known}
    if strategy is not None and strategy_named is not None:
        settings["strategy"] = strategy_named(strategy)
    settings["hyperparameters"] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in dict(given.get("hyperparameters") or {}).items()
    }
    if epochs is not None and epochs != given.get("epochs") and "+" in str(given["optimizer"]):
        raise CheckpointError(
            f"The schedule of {given['optimizer']} spans the {given.get('epochs')} epochs of {run.name}, so "
            "it cannot go on for another number: begin a new run, or resume this one without --epochs."
        )
    if epochs is not None:
        settings["epochs"] = epochs
    try:
        return Recipe(run.task, **settings)
    except ThalwegError:
        raise
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"The recipe of {run.name} was edited: {sentence(error)}") from error


def _is_named(init: Any) -> bool:
    """Return whether a text is that of a strategy, so that the model can be started by it again."""
    if init is None:
        return True
    try:
        find_strategy(str(init))
    except TaskError:
        return False
    return True
