"""The chain that an optimizer steps by, as one of several in another optimizer."""

from __future__ import annotations

import functools
from typing import Any

import torch

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.errors import RuleError


def as_chain(given: Any, where: str) -> Chain:
    """Return the chain of what a user gives: a chain, a link, a rule, or an optimizer's class.

    Of a class, or a `functools.partial` of one, its rules are taken with its hyperparameters, weight decay
    included; but for the learning rate, which belongs to the optimizer that the chain will be a part of.

    Raises RuleError, saying `where` it stands, for anything else.

    >>> from thalweg import optim
    >>> as_chain(functools.partial(optim.AdamW, betas=(0.9, 0.95)), "rest").hyperparameters
    {'beta1': 0.9, 'beta2': 0.95, 'eps': 1e-08, 'weight_decay': 0.01}
    """
    if isinstance(given, (Chain, Link, Rule)):
        return chain(given)
    inner = given.func if isinstance(given, functools.partial) else given
    if not (
        isinstance(inner, type)
        and issubclass(inner, torch.optim.Optimizer)
        and hasattr(inner, "composition")
    ):
        raise RuleError(
            f"{where} is {given!r:.80}. A route leads to a chain, to rules such as adam(beta2=0.95), or to a "
            "class of thalweg.optim that is made of rules, such as optim.AdamW or functools.partial of it."
        )
    if "lr" in getattr(given, "keywords", {}):
        raise RuleError(
            f"{where} sets lr, but the routes of an optimizer share one: give lr to the optimizer, and to "
            "route lr_factors={…} for a multiple of it."
        )
    # an optimizer of one small parameter: its group says what the chain's numbers are
    made = given([torch.zeros(1, 1)])
    (group,) = made.param_groups
    composition = made.composition(group)
    whole = composition.chain
    values = {name: composition.getter(name)(group) for name in whole.hyperparameters}
    values |= {
        name: schedule
        for name, schedule in made.schedules_of(group).items()
        if name in values and name not in composition.getters
    }
    return with_numbers(whole, values)


def with_numbers(whole: Chain, values: dict[str, Any]) -> Chain:
    """Return a chain with these hyperparameters, by the names that the chain has for them."""
    links = [
        place.rule(
            **{own: values[full] for own, full in place.names.items() if full in values},
        )
        for place in whole.places
    ]
    return chain(*links)
