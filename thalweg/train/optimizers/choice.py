"""What a user gives as optimizer: a name, a class, a function or a chain, and its hyperparameters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from thalweg.engine.language.chain import Chain, chain
from thalweg.engine.language.rule import Link, Rule
from thalweg.errors import TaskError, suggest
from thalweg.optim.named import find_optimizer
from thalweg.schedules.named import ScheduleMaker, schedule_named
from thalweg.tasks.by_name.files import is_in_file
from thalweg.train.optimizers.known import has_routes, name_of
from thalweg.train.optimizers.own import called_in_file, load_from_file


@dataclass(frozen=True)
class ChosenOptimizer:
    """An optimizer as it was chosen.

    `name` is what it is called; `factory` builds it, a function (parameters, lr=…) or a chain;
    `hyperparameters` are those that are set; `schedule` makes its learning rate, if the name says so;
    `wants_all_rows` is whether its own batch is the whole set.
    """

    name: str
    factory: Any
    hyperparameters: Mapping[str, Any]
    schedule: ScheduleMaker | None = None
    wants_all_rows: bool = False


def is_chain(optimizer: Any) -> bool:
    """Return whether `optimizer` is a chain, a link of one, a rule, or several chains by route."""
    return isinstance(optimizer, (Chain, Link, Rule)) or has_routes(optimizer)


def choose(optimizer: Any, hyperparameters: Mapping[str, Any]) -> ChosenOptimizer:
    """Return what an optimizer stands for: of a name, its class; of "file.py:name", what that file holds;
    "adam+cosine" names a schedule, too.

    Raises:
        TaskError: a name that nothing has, or a hyperparameter that the optimizer has not.

    >>> choose("momentum+cosine", {"weight_decay": 1e-4}).hyperparameters
    {'momentum': 0.9, 'weight_decay': 0.0001}
    """
    if not isinstance(optimizer, str):
        return _with(_as_it_is(optimizer), hyperparameters)
    name, plus, schedule = (part.strip() for part in optimizer.partition("+"))
    found = _with(_in_file(name) if is_in_file(name) else _named(name), hyperparameters)
    if not plus:
        return found
    return replace(found, name=f"{found.name}+{schedule}", schedule=schedule_named(schedule))


def _named(name: str) -> ChosenOptimizer:
    found = find_optimizer(name)
    return ChosenOptimizer(
        found.name, found.factory, found.hyperparameters, wants_all_rows=found.wants_all_rows
    )


def _in_file(text: str) -> ChosenOptimizer:
    """Return what "file.py:name" holds, called by its name."""
    return replace(_as_it_is(load_from_file(text)), name=called_in_file(text))


def _as_it_is(optimizer: Any) -> ChosenOptimizer:
    """Return what was given as no text: itself, or what an entrant of a race stands for."""
    chosen = getattr(optimizer, "chosen", None)
    if isinstance(chosen, ChosenOptimizer):
        return chosen
    return ChosenOptimizer(name_of(optimizer), optimizer, {})


def _with(chosen: ChosenOptimizer, hyperparameters: Mapping[str, Any]) -> ChosenOptimizer:
    _check(chosen.factory, hyperparameters)
    return replace(chosen, hyperparameters={**chosen.hyperparameters, **hyperparameters})


def _check(factory: Any, given: Mapping[str, Any]) -> None:
    """Refuse a hyperparameter that the optimizer is known not to have."""
    known = _known(factory) if given else None
    for name in given:
        if known is not None and name not in known:
            raise TaskError(
                f"{name_of(factory)} has no hyperparameter {name!r}, and training no such setting."
                f"{suggest(name, [*known, *SETTINGS])} {name_of(factory)} has: {', '.join(known)}."
            )


def _known(factory: Any) -> list[str] | None:
    """Return the names of the hyperparameters; None where they cannot be known."""
    if is_chain(factory):
        whole = factory if has_routes(factory) else chain(factory)
        return list(whole.hyperparameters)
    while isinstance(factory, functools.partial):
        factory = factory.func
    try:
        parameters = list(inspect.signature(factory).parameters.values())[1:]
    except (TypeError, ValueError):
        return None
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return None
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [each.name for each in parameters if each.kind in kinds and each.name != "lr"]


SETTINGS = (
    *("lr", "epochs", "batch_size", "seed", "init", "shuffle", "scheduler", "scheduler_step"),
    *("early_stopping", "gradient_tolerance", "gradient_budget", "stop_at", "evaluate_every"),
    *("accumulate", "clip_norm", "autocast", "device", "checkpoint", "checkpoint_every", "resume"),
    *("keep_path", "progress", "callbacks", "strategy"),
)
"""What `fit` takes beside hyperparameters: a misspelt one looks like one of these."""
