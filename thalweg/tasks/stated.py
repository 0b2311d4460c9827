"""The facts of built-in tasks, known without making them: target, budget, seconds, hash of the data."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from thalweg.tasks.target import Target
from thalweg.tasks.task import BATCH_SIZE, EPOCHS, Task

Options = ParamSpec("Options")


@dataclass(frozen=True)
class Facts:
    """What is stated of a built-in task with its usual options; its `Task` has the same fields.

    `seconds` is about how long one run of this budget takes with Adam on one core, evaluations after
    each epoch included. `data_hash` is what `thalweg.tasks.data_hash` gives for its data; None where
    the data are files of the user's.
    """

    target: Target
    seconds: float
    data_hash: str | None
    epochs: int
    batch_size: int | None


FACTS: dict[str, Facts] = {}
"""Of every built-in task whose module was imported, by name."""


def built_in(
    *,
    target: Target,
    seconds: float,
    data_hash: str | None = None,
    epochs: int = EPOCHS,
    batch_size: int | None = BATCH_SIZE,
    other_data: Collection[str] = (),
    place: Collection[str] = (),
) -> Callable[[Callable[Options, Task]], Callable[Options, Task]]:
    """Return the decorator of a function that makes a built-in task: the task is named after the
    function and gets what is stated here as fields.

    With options other than the usual ones the name tells them ("parity:bits=7"), and what was
    measured, seconds and hash, is left out. `other_data` are options that bring other data: the
    target does not hold for them. `place` are options that say where the data lie, which change
    nothing.
    """
    facts = Facts(target, seconds, data_hash, epochs, batch_size)

    def decorate(make: Callable[Options, Task]) -> Callable[Options, Task]:
        signature = inspect.signature(make)
        name = make.__name__
        FACTS[name] = facts

        @functools.wraps(make)
        def made(*args: Options.args, **kwargs: Options.kwargs) -> Task:
            given = signature.bind(*args, **kwargs).arguments
            changed = {
                option: value
                for option, value in given.items()
                if option not in place and value != signature.parameters[option].default
            }
            return make(*args, **kwargs).replace(
                name=_name(name, changed),
                target=None if changed.keys() & {*other_data} else target,
                epochs=epochs,
                batch_size=batch_size,
                seconds=None if changed else seconds,
                data_hash=None if changed else data_hash,
            )

        return made

    return decorate


def _name(name: str, changed: Mapping[str, Any]) -> str:
    options = ",".join(f"{option}={_shown(value)}" for option, value in changed.items())
    return f"{name}:{options}" if options else name


def _shown(value: Any) -> str:
    return Path(value).name if isinstance(value, (str, os.PathLike)) else str(value)
