"""One search for many entrants: each searches the hyperparameters that it has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.errors import TaskError, suggest
from thalweg.optim.routing.route import Routing
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.entrants.space import Space

_NOT_SEARCHED = {"lr", "engine", "before", "after", "maximize", "dialect"}
_NOT_SEARCHED |= {"foreach", "fused", "differentiable", "capturable", "state_dtype", "rounding"}


def with_search(entrants: Sequence[Entrant], searched: Mapping[str, Space]) -> list[Entrant]:
    """Return the entrants, each with those of the spaces that are of a hyperparameter of its own.

    Raises:
        TaskError: for a name that is not a hyperparameter of any of them.

    >>> from thalweg.race.entrants.known import find_entrant
    >>> from thalweg.race.entrants.space import uniform
    >>> both = [find_entrant("sgd"), find_entrant("adam")]
    >>> [list(e.search) for e in with_search(both, {"momentum": uniform(0.5, 0.99)})]
    [['momentum'], []]
    """
    own = {entrant.name: _hyperparameters(entrant) for entrant in entrants}
    known = sorted(set().union(*own.values()))
    for name in searched:
        if name == "lr":
            raise TaskError(
                "The learning rate is searched always: give its values with lrs (--lrs)."
            )
        fixed = [entrant for entrant in entrants if name in entrant.hyperparameters]
        if name not in known and fixed:
            raise TaskError(
                f"{fixed[0].name} has its {name} fixed, at {fixed[0].hyperparameters[name]!r}. To search "
                "it, race the optimizer in which it is free, such as sgd."
            )
        if name not in known:
            hint = suggest(name, known) or f" They have: {', '.join(known)}."
            raise TaskError(f"None of these optimizers has a hyperparameter {name!r}.{hint}")
    return [
        replace(
            entrant,
            search={name: space for name, space in searched.items() if name in own[entrant.name]},
        )
        for entrant in entrants
    ]


def _hyperparameters(entrant: Entrant) -> set[str]:
    factory = entrant.factory
    if isinstance(factory, (Chain, Link, Rule)):
        names = set(chain(factory).hyperparameters)
    elif isinstance(factory, Routing):
        names = set(factory.hyperparameters)
    else:
        parameters = list(inspect.signature(factory).parameters.values())[1:]
        names = {p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD}
    return names - set(entrant.hyperparameters) - _NOT_SEARCHED
