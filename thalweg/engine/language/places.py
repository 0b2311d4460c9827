"""The places of rules in a chain, and the names that the chain gives to what its rules call their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from thalweg.engine.language.rule import GIVEN, Rule, is_switch
from thalweg.engine.program.shapes import Shape


@dataclass(frozen=True)
class RulePlace:
    """Where one rule stands in a chain, and the chain's names for what the rule calls its own."""

    rule: Rule
    names: Mapping[str, str]


def name_places(rules: Iterable[Rule]) -> tuple[RulePlace, ...]:
    """Return the places of rules in their order; every state and hyperparameter has a name of its own.

    A name that two rules use is written `rule.name`.
    """
    rules = tuple(rules)
    count: dict[str, int] = {}
    for rule in rules:
        for name in _own(rule):
            count[name] = count.get(name, 0) + 1
    seen: dict[str, int] = {}
    places = []
    for rule in rules:
        turn = seen[rule.name] = seen.get(rule.name, 0) + 1
        owner = rule.name if turn == 1 else f"{rule.name}{turn}"
        names = {n: n if count[n] == 1 else f"{owner}.{n}" for n in _own(rule)}
        places.append(RulePlace(rule, names))
    return tuple(places)


def states_of(places: Sequence[RulePlace]) -> tuple[str, ...]:
    """Return the names of the states that are tensors of the parameter's shape."""
    return tuple(p.names[s] for p in places for s in p.rule.signature.states)


def matrix_states_of(places: Sequence[RulePlace]) -> dict[str, Shape]:
    """Return the names of the states of other shapes, each with its shape."""
    return {
        p.names[s]: shape for p in places for s, shape in p.rule.signature.matrix_states.items()
    }


def scalar_states_of(places: Sequence[RulePlace]) -> dict[str, float]:
    """Return the names of the states that are numbers, each with its first value."""
    return {
        p.names[s]: first for p in places for s, first in p.rule.signature.scalar_states.items()
    }


def scalars_of(places: Sequence[RulePlace]) -> tuple[str, ...]:
    """Return the scalar inputs of a program: t, lr, the numeric hyperparameters, the scalar states."""
    numeric = (
        p.names[n]
        for p in places
        for n, default in p.rule.signature.hyperparameters.items()
        if not is_switch(default)
    )
    return (*GIVEN, *numeric, *scalar_states_of(places))


def _own(rule: Rule) -> tuple[str, ...]:
    s = rule.signature
    return (*s.states, *s.matrix_states, *s.scalar_states, *s.hyperparameters)
