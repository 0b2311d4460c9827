"""Compositions: the chain that steps a param group, made of the optimizer's rules and what goes around them.

In order: the sign (`maximize`), the links that the user puts `before`, weight decay in the gradient, the
optimizer's own rules, the user's links `after`, and weight decay after the step, which stands before those of
the user's links that act after the step too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.errors import suggest
from thalweg.optim.stepping.checks import Group, is_ours
from thalweg.rules import decay, decay_cautiously, decay_independent, decay_proximal, l2, negate

Getter = Callable[[Group], Any]
Links = tuple[Link | Rule, ...]
Spelling = Mapping[str, Getter]
LinkPart = tuple[Link, Callable[[str], Getter]]
"""A link, and what gives the getter of each of its hyperparameters."""

DECAYS: Mapping[str, Rule] = {
    "l2": l2,
    "decoupled": decay,
    "independent": decay_independent,
    "cautious": decay_cautiously,
    "proximal": decay_proximal,
}
"""The meanings of weight decay that go with any rule."""

INSIDE = "inside"
"""The meaning of weight decay for optimizers whose own equation has one."""


@dataclass(frozen=True, eq=False)
class Composition:
    """The chain of a group, and where in the group those hyperparameters are that have another name there."""

    chain: Chain
    getters: Spelling = field(default_factory=dict)

    def getter(self, name: str) -> Getter:
        """Return what reads a hyperparameter of the chain in a group."""
        return self.getters.get(name) or (lambda group: group[name])

    def switches(self, group: Group) -> dict[str, Any]:
        """Return the switches of the chain as a group sets them."""
        return {name: self.getter(name)(group) for name in self.chain.switches}


@dataclass(frozen=True)
class Around:
    """What goes around an optimizer's own rules: the user's links, and the meaning of weight decay."""

    before: tuple[Link, ...] = ()
    after: tuple[Link, ...] = ()
    decay: str = "l2"

    @property
    def outer(self) -> tuple[tuple[Link, str], ...]:
        """The user's links, each with the name under which a group holds its hyperparameters."""
        named = []
        seen: dict[str, int] = {}
        for link in (*self.before, *self.after):
            turn = seen[link.rule.name] = seen.get(link.rule.name, 0) + 1
            named.append((link, link.rule.name + (str(turn) if turn > 1 else "")))
        return tuple(named)

    @property
    def defaults(self) -> dict[str, Any]:
        """The hyperparameters of the user's links, as entries of a group: `rule.name`."""
        return {f"{owner}.{n}": v for link, owner in self.outer for n, v in link.values.items()}

    @property
    def checked(self) -> frozenset[str]:
        """Those of them whose ranges are known: of this package's rules."""
        ours = [(link, owner) for link, owner in self.outer if is_ours(link.rule)]
        return frozenset(f"{owner}.{n}" for link, owner in ours for n in link.values)


def around(before: Any, after: Any, decay: str, known: Iterable[str]) -> Around:
    """Return what goes around, checked: links or chains, and one of the known meanings of weight decay."""
    if decay not in known:
        raise ValueError(
            f"decay must be one of {', '.join(known)}; got {decay!r}.{suggest(str(decay), known)}"
        )
    return Around(_links(before), _links(after), decay)


def _links(given: Any) -> tuple[Link, ...]:
    several = given if isinstance(given, (list, tuple)) else (given,)
    return chain(*several).links if several else ()


@functools.lru_cache(maxsize=1024)  # a user's links are new objects for every optimizer
def compose_group(
    maximize: bool, decayed: bool, extra: Around, links: Links, spelling: Callable[[], Spelling]
) -> Composition:
    """Return the composition of a group.

    Hyperparameters that `links` set are fixed, save a weight decay; the others are read from the group,
    through `spelling` where they are written otherwise there. `decayed` says that the group's weight decay
    is not zero.
    """
    own: Spelling = spelling()
    parts: list[LinkPart] = []

    def add(link: Link | Rule, read: Callable[[str], Getter]) -> None:
        parts.extend((each, read) for each in chain(link).links)

    decays = DECAYS[extra.decay](weight_decay=0.0) if decayed and extra.decay != INSIDE else None
    outer: list[LinkPart] = [
        (link, functools.partial(_outer, owner)) for link, owner in extra.outer
    ]
    before, after = outer[: len(extra.before)], outer[len(extra.before) :]
    if maximize:
        add(negate, _entry)
    for link, read in before:
        add(link, read)
    if decays is not None and not decays.rule.kind.after_step:
        add(decays, _entry)
    rules: list[LinkPart] = []
    for link in chain(*links).links:
        fixed = {n: v for n, v in link.values.items() if n in link.given and n != "weight_decay"}
        if extra.decay != INSIDE:
            fixed["weight_decay"] = 0.0
        rules.append((link, functools.partial(_own, fixed, link.values, own)))
    for link, read in (*rules, *after):
        if not link.rule.kind.after_step:
            add(link, read)
    last: list[LinkPart] = [(decays, _entry)] if decays is not None else []
    for link, read in (*rules, *last, *after):
        if link.rule.kind.after_step:
            add(link, read)
    made = chain(*(link for link, _ in parts))
    getters = {
        full: read(name)
        for (_, read), place in zip(parts, made.places, strict=True)
        for name, full in place.names.items()
        if name in place.rule.signature.hyperparameters
    }
    return Composition(made, getters)


def _entry(name: str) -> Getter:
    return lambda group: group[name]


def _outer(owner: str, name: str) -> Getter:
    return _entry(f"{owner}.{name}")


def _own(
    fixed: Mapping[str, Any], defaults: Mapping[str, Any], spelling: Spelling, name: str
) -> Getter:
    if name in fixed:
        return lambda group: fixed[name]
    return spelling.get(name) or (lambda group: group.get(name, defaults[name]))
