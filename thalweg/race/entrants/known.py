"""Entrants known by name, and the grids of learning rates that they try.

Every grid is logarithmic, two points a decade, and equally long, so that every entrant is tuned
with the same budget. The grids differ in where they lie, since the step of an optimizer that
divides by the gradient's size has another scale than that of one that does not.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from thalweg.engine import Chain, Link, Rule
from thalweg.errors import TaskError
from thalweg.optim.factory import Named
from thalweg.optim.named import find_optimizer, named_optimizers
from thalweg.optim.routing.route import Routing
from thalweg.race.entrants.entrant import Contender
from thalweg.race.entrants.entrant import Entrant as Entrant
from thalweg.tasks.by_name.files import is_in_file
from thalweg.train.optimizers.known import OptimizerFactory
from thalweg.train.optimizers.own import called_in_file, load_from_file

GRID_POINTS = 7
"""Learning rates in each default grid."""

DEFAULT_ENTRANTS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
"""The entrants of a race that names none."""

_SCHEDULE = re.compile(r"\+\s*((?:[^@\d][^@]*)?)(?=@|$)")  # not the plus of gain=1e+1
_START = re.compile(r"@(.*)$")


def log_grid(lowest: float, points: int = GRID_POINTS) -> tuple[float, ...]:
    """Return `points` learning rates from `lowest` up, two a decade: whole and half powers of ten.

    >>> log_grid(0.01, 4)
    (0.01, 0.0316, 0.1, 0.316)
    """
    first = round(2 * math.log10(lowest))
    return tuple(float(f"{10 ** (half / 2):.3g}") for half in range(first, first + points))


_MOMENTUM_GRID = log_grid(1e-3)


def default_grid(factory: OptimizerFactory | Chain | Link | Rule | Routing) -> tuple[float, ...]:
    """Return the learning rates to try for an optimizer that names none.

    For those made of rules they lie around the default: from a tenth of it up, or from a hundredth
    where it is 1, as it is for those that find their own rate, or are given a factor of one. For
    PyTorch's and for solvers they are chosen; for others they are Adam's. Of several chains by route
    the first one counts.

    >>> from thalweg import optim
    >>> default_grid(optim.Adan)[:3], default_grid(optim.Prodigy)[4]
    ((0.0001, 0.000316, 0.001), 1.0)
    """
    while isinstance(factory, functools.partial):
        factory = factory.func
    if isinstance(factory, Routing):
        factory = next(iter(factory.chains.values()))
    if isinstance(factory, (Chain, Link, Rule)):
        factory = _like_named(factory)
    lowest = _LOWEST_RATE.get(getattr(factory, "__name__", ""))
    if lowest is None and isinstance(factory, type) and issubclass(factory, Named):
        lr = inspect.signature(factory).parameters["lr"].default
        lowest = lr / 10 if lr < 1 else lr / 100
    return log_grid(1e-4 if lowest is None else lowest)


def known_entrants() -> dict[str, Entrant]:
    """Return every entrant that can be named: the optimizers of `thalweg.optim`, and SGD's two with
    momentum.
    """
    return {
        name: Entrant(
            name,
            each.factory,
            each.hyperparameters,
            _MOMENTUM_GRID if each.hyperparameters else default_grid(each.factory),
            batch_size=None if each.wants_all_rows else "race",
        )
        for name, each in named_optimizers().items()
    }


def find_entrant(name: str) -> Entrant:
    """Return the entrant of a name, in whatever case, or of "file.py:name", one of the user's own; how its
    models start may follow an @, and a schedule a plus sign.

    Raises:
        TaskError: for a name that no entrant, strategy or schedule has, with the close ones; for a file that
            cannot be run, or holds no optimizer under that name.

    >>> find_entrant("Adam+cosine").schedule
    'cosine'
    >>> find_entrant("adam@orthogonal:gain=1.4+cosine").init
    'orthogonal:gain=1.4'
    """
    called, schedule = _parted(_SCHEDULE, name.strip())
    optimizer, start = _parted(_START, called)
    entrant = (
        _in_file(optimizer)
        if is_in_file(optimizer)
        else known_entrants()[find_optimizer(optimizer).name]
    )
    if start is not None:
        entrant = replace(entrant, name=f"{entrant.name}@{start}", init=start)
    if schedule is not None:
        entrant = replace(entrant, name=f"{entrant.name}+{schedule}", schedule=schedule)
    return entrant


def _in_file(text: str) -> Entrant:
    """Return what "file.py:name" holds as an entrant, called by its name; an `Entrant` keeps its own."""
    held = load_from_file(text)
    entrant = _as_entrant(held)
    return entrant if isinstance(held, Entrant) else replace(entrant, name=called_in_file(text))


def _parted(sign: re.Pattern[str], text: str) -> tuple[str, str | None]:
    """Cut a name at a sign; the part behind it may also stand before the next sign, as in adam+cosine@he.

    >>> _parted(_SCHEDULE, "adam+cosine@he:gain=1e+1")
    ('adam@he:gain=1e+1', 'cosine')
    """
    found = sign.search(text)
    if found is None:
        return text, None
    return text[: found.start()].strip() + text[found.end() :], found[1].strip()


def gather_entrants(
    entrants: Iterable[Contender] | None = None,
    lrs: Sequence[float] | None = None,
) -> tuple[Entrant, ...]:
    """Return the entrants of a race from names, `Entrant`s or optimizer classes, or a mapping of
    names of your own to them; None means the usual six.

    Args:
        entrants: who takes part.
        lrs: the learning rates to try for everyone, instead of each one's own grid.

    Raises:
        TaskError: for an unknown or repeated name, or a learning rate that is not a positive
            number.
    """
    named = DEFAULT_ENTRANTS if entrants is None else entrants
    if isinstance(named, Mapping):
        gathered = [_renamed(entrant, name) for name, entrant in named.items()]
    else:
        each = [named] if isinstance(named, str) else named
        gathered = [_as_entrant(entrant) for entrant in each]
    if not gathered:
        raise TaskError("A race needs at least one entrant, got none.")
    names = [entrant.name for entrant in gathered]
    for name in names:
        if names.count(name) > 1:
            raise TaskError(f"The entrant {name!r} is named twice: give each its own name.")
    if lrs is not None:
        gathered = [replace(entrant, lrs=tuple(lrs)) for entrant in gathered]
    return tuple(replace(entrant, lrs=_checked_rates(entrant)) for entrant in gathered)


def _as_entrant(entrant: Any) -> Entrant:
    if isinstance(entrant, Entrant):
        return entrant if entrant.lrs else replace(entrant, lrs=default_grid(entrant.factory))
    if isinstance(entrant, str):
        return find_entrant(entrant)
    if isinstance(entrant, (Chain, Link, Rule, Routing)):
        return Entrant(_name_of_chain(entrant), entrant, {}, default_grid(entrant))
    if callable(entrant):
        name = getattr(entrant, "__name__", type(entrant).__name__)
        return Entrant(name.lower(), entrant, {}, default_grid(entrant))
    raise TaskError(
        f"An entrant must be a name, an Entrant, or a function (params, lr) -> optimizer; "
        f"got {entrant!r}."
    )


def _like_named(rules: Chain | Link | Rule) -> Any:
    """The optimizer that is called like one of the rules, whose rates are of the same scale.

    >>> from thalweg import chain, rules
    >>> _like_named(chain(rules.clip_by_global_norm(1.0), rules.lion)).__name__
    'Lion'
    """
    named = {name: each.factory for name, each in named_optimizers().items()}
    links = rules.links if isinstance(rules, Chain) else (rules,)
    names = [(link if isinstance(link, Rule) else link.rule).name for link in links]
    return next((named[name] for name in reversed(names) if name in named), None)


def _name_of_chain(rules: Chain | Link | Rule | Routing) -> str:
    """What a chain that was given no name is called: its rules; several by route: the rules of each.

    >>> from thalweg import chain, route, rules
    >>> _name_of_chain(chain(rules.clip_by_norm(1.0), rules.adam))
    'clip_by_norm+adam'
    >>> _name_of_chain(route(hidden=rules.lion(), rest=rules.adam()))
    'lion/adam'
    """
    if isinstance(rules, Routing):
        return rules.name
    if isinstance(rules, Rule):
        return rules.name
    links = rules.links if isinstance(rules, Chain) else (rules,)
    return "+".join(link.rule.name for link in links)


def _renamed(entrant: Any, name: object) -> Entrant:
    if not isinstance(name, str) or not name:
        raise TaskError(f"The name of an entrant must be a text; got {name!r}.")
    return replace(_as_entrant(entrant), name=name)


def _checked_rates(entrant: Entrant) -> tuple[float, ...]:
    rates = sorted({float(lr) for lr in entrant.lrs})
    if not rates:
        raise TaskError(f"The entrant {entrant.name!r} has no learning rates to try.")
    for lr in rates:
        if not 0 < lr < float("inf"):
            raise TaskError(
                f"A learning rate must be a positive number, got {lr} for {entrant.name!r}."
            )
    return tuple(rates)


# Where the grid of an optimizer begins, when its step has another scale than Adam's, or when small
# models want rates far above its default.
_LOWEST_RATE = {
    "SGD": 3.16e-3,
    "ASGD": 3.16e-3,
    "Adagrad": 1e-3,
    "Adadelta": 1e-2,
    "Adamax": 1e-3,
    "Lion": 3.16e-5,
    "KFAC": 1e-3,
    **dict.fromkeys(("BFGS", "LBFGS", "LevenbergMarquardt", "NewtonCG", "SSBroyden"), 1e-2),
}
