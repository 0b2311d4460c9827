"""The arguments of a race, written once: `race`, `Race` and the command line take them from here."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import torch

from thalweg.race.entrants.entrant import Contender
from thalweg.race.executors.executor import Executor
from thalweg.race.progress import Show
from thalweg.race.trials.ranking import RankBy
from thalweg.tasks import Target, Task

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class RaceArguments:
    """The arguments of a race with their defaults; `thalweg.race` says what each one means."""

    task: Task | str
    entrants: Iterable[Contender] | None = None
    lrs: Sequence[float] | None = None
    _: KW_ONLY
    trials: int | None = None
    search: str | None = None
    seeds: int | Iterable[int] = 3
    final_seeds: int | Iterable[int] = 8
    more_seeds: int | None = None
    epochs: int | None = None
    batch_size: int | str | None = "task"
    target: float | Target | None = None
    by: RankBy | None = None
    out: str | os.PathLike[str] | None = "race-{task}"
    fresh: bool = False
    device: str | torch.device | None = None
    threads: int | None = None
    stack: bool | int | None = None
    executor: str | Executor = "local"
    workers: int | None = None
    progress: Show | None = None
    command: str | None = None

    @classmethod
    def of_call(cls, given: Sequence[Any], named: Mapping[str, Any]) -> RaceArguments:
        """Return the arguments that a call was made with.

        Raises:
            TypeError: for an argument that a race does not have, or without a task.
        """
        if "engine" in named:
            raise TypeError(
                "Where a race runs is its executor: write executor=, such as executor='ray', in the "
                "place of engine=. An engine is what steps an optimizer."
            )
        try:
            inspect.signature(cls).bind(*given, **named)
        except TypeError as error:
            raise TypeError(f"race() {error}") from None
        return cls(*given, **named)


def takes(
    arguments: Callable[_P, object],
) -> Callable[[Callable[..., _Result]], Callable[_P, _Result]]:
    """Give a function the parameters of another, for type checkers, editors and `inspect`."""

    def signed(function: Callable[..., _Result]) -> Callable[_P, _Result]:
        _sign(function, arguments)
        return cast("Callable[_P, _Result]", function)

    return signed


def takes_in_method(
    arguments: Callable[_P, object],
) -> Callable[[Callable[..., _Result]], Callable[Concatenate[Any, _P], _Result]]:
    """As `takes`, of a method, whose first parameter is its object."""

    def signed(method: Callable[..., _Result]) -> Callable[Concatenate[Any, _P], _Result]:
        _sign(method, arguments, inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD))
        return cast("Callable[Concatenate[Any, _P], _Result]", method)

    return signed


def _sign(function: Any, arguments: Callable[..., object], *first: inspect.Parameter) -> None:
    own, theirs = inspect.signature(function), inspect.signature(arguments)
    function.__signature__ = own.replace(parameters=[*first, *theirs.parameters.values()])
