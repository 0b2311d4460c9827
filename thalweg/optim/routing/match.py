"""Which route each parameter of a model takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from thalweg.errors import RuleError
from thalweg.model.kinds import PART_OF, kinds_of
from thalweg.optim.routing.route import REST, Routing

UNKNOWN = "unknown"
"""The kind of a parameter whose model is not known."""

_SHOWN = 5
"""Names that a message lists."""


@dataclass(frozen=True)
class RoutedParameter:
    """A parameter with its kind, by what that was found, and its route."""

    name: str
    parameter: Tensor
    kind: str
    by: str
    route: str


def routed(routing: Routing, params: nn.Module | Iterable[Any]) -> list[RoutedParameter]:
    """Return the route of each parameter of a model, or of named parameters where only names are asked for.

    Frozen parameters that no route takes are left out.

    Raises:
        RuleError: for parameters that take no route, or two, and for routes that nothing takes.
    """
    if isinstance(params, nn.Module):
        names = _all_names(params)
        found: list[tuple[str, Tensor, str, str, tuple[str, ...]]] = [
            (k.name, k.parameter, k.kind, k.by, names[id(k.parameter)]) for k in kinds_of(params)
        ]
    else:
        found = [(n, p, UNKNOWN, "", (n,)) for n, p in _named(routing, params)]
    taken, lost = list[RoutedParameter](), list[tuple[str, str]]()
    for name, p, kind, by, called in found:
        way = _way(routing, name, kind, called)
        if way is not None:
            taken.append(RoutedParameter(name, p, kind, by, way))
        elif p.requires_grad:
            lost.append((name, kind))
    if lost:
        raise RuleError(_lost(lost, routing))
    _check_used(routing, taken, [(name, kind) for name, _, kind, _, _ in found])
    return taken


def _all_names(model: nn.Module) -> Mapping[int, tuple[str, ...]]:
    """Return all names of each parameter: a tied one has several."""
    found: dict[int, list[str]] = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        found.setdefault(id(p), []).append(name)
    return {key: tuple(names) for key, names in found.items()}


def _named(routing: Routing, params: Iterable[Any]) -> list[tuple[str, Tensor]]:
    each = list(params)
    has_names = each and all(isinstance(p, tuple) and len(p) == 2 for p in each)
    if not has_names or routing.kinds:
        wanted = ", ".join(routing.kinds)
        why = f"the kinds {wanted} are found from its layers" if wanted else "names are matched"
        raise RuleError(
            f"routes are for a model, since {why}: Optimizer(model, route(…)). Named parameters, "
            "model.named_parameters(), will do for patterns of names and the rest."
        )
    return each


def _way(routing: Routing, name: str, kind: str, called: Sequence[str]) -> str | None:
    matching = [p for p in routing.patterns if any(fnmatchcase(n, p) for n in called)]
    if len(matching) > 1:
        other = "" if len(called) == 1 else f" (also called {', '.join(called[1:])})"
        raise RuleError(
            f"{name!r}{other} matches {' and '.join(map(repr, matching))}. A parameter takes one route: make "
            "one of the patterns narrower."
        )
    if matching:
        return matching[0]
    while kind not in routing.kinds and kind in PART_OF:
        kind = PART_OF[kind]
    if kind in routing.kinds:
        return kind
    return REST if REST in routing.chains else None


def _lost(lost: Sequence[tuple[str, str]], routing: Routing) -> str:
    listed = ", ".join(f"{name!r} ({kind})" for name, kind in lost[:_SHOWN])
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return (
        f"no route takes {listed}{more}. The routes are: {', '.join(routing.chains)}. Give them one by kind "
        "or name, or all that is left: rest=adamw()"
    )


def _check_used(
    routing: Routing, taken: Sequence[RoutedParameter], every: Sequence[tuple[str, str]]
) -> None:
    if routing.may_be_empty:
        return
    used = {each.route for each in taken}
    for name in (*routing.patterns, *routing.kinds):
        if name not in used:
            kinds = ", ".join(dict.fromkeys(kind for _, kind in every))
            what = (
                f"kinds {kinds}"
                if name in routing.kinds
                else "names such as " + ", ".join(repr(n) for n, _ in every[:_SHOWN])
            )
            tied = (
                ' Its output layer is the embedding, of the kind "tied".'
                if (name == "head" and any(kind == "tied" for _, kind in every))
                else ""
            )
            raise RuleError(
                f"The route {name!r} matches no parameter of the model, which has {what}.{tied} Leave it "
                "out, or say may_be_empty=True where it is meant for several models."
            )
