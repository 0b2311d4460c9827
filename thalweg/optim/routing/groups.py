"""Param groups by route: what a group from outside lacks, and groups of a state dict in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.errors import RuleError, suggest
from thalweg.numeric import is_schedule
from thalweg.optim.routing.route import REST, Routing
from thalweg.optim.stepping.checks import Group


class Multiplied:
    """A schedule times a number."""

    def __init__(self, schedule: Any, factor: float) -> None:
        self.schedule, self.factor = schedule, factor

    def __call__(self, k: int) -> float:
        """Return the value after `k` steps."""
        return float(self.factor * self.schedule(k))


def multiplied(lr: Any, factor: float) -> Any:
    """Return a learning rate times a factor; a schedule as a schedule, and 1 times as the same object."""
    if factor == 1:
        return lr
    return Multiplied(lr, factor) if is_schedule(lr) else factor * lr


def filled(routing: Routing, group: Group, defaults: Mapping[str, Any]) -> Group:
    """Return a param group with the hyperparameters of its route, where it has none of its own.

    Raises:
        RuleError: for a group without a route, where there is no rest.
    """
    route = group.get("route", REST)
    if route not in routing.chains:
        raise RuleError(no_route(group, routing))
    rate = multiplied(defaults["lr"], routing.lr_factors.get(route, 1.0))
    return {"lr": rate, **routing.chains[route].hyperparameters, **group, "route": route}


def no_route(group: Mapping[str, Any], routing: Routing) -> str:
    """Return the message for a group whose route is not known."""
    known = ", ".join(map(repr, routing.chains))
    if "route" not in group:
        return (
            f'a param group needs an entry "route" that says which chain steps it: one of {known}'
        )
    return (
        f"a param group has route={group['route']!r}, which there is not."
        f"{suggest(str(group['route']), routing.chains)} Routes are: {known}"
    )


def in_order(groups: Sequence[Group], state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a state dict whose groups stand in the order of an optimizer's, found by their routes.

    Raises:
        ValueError: where the routes are others.
    """
    saved = list(state_dict.get("param_groups", ()))
    if not saved or not all("route" in group for group in saved):
        return state_dict  # of an optimizer without routes: groups are taken as they come
    here, there = ([group.get("route") for group in some] for some in (groups, saved))
    if sorted(map(str, here)) != sorted(map(str, there)):
        raise ValueError(
            f"loaded state dict has the routes {', '.join(map(str, there))}, this optimizer has "
            f"{', '.join(map(str, here))}. Build it with the routes that the state was saved with."
        )
    left = list(saved)
    ordered = []
    for route in here:
        match = next(group for group in left if group["route"] == route)
        left = [group for group in left if group is not match]
        ordered.append(match)
    return {**state_dict, "param_groups": ordered}
