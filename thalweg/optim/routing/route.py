"""`route`: which parameters of a model go to which chain, said by kind or by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.errors import RuleError, suggest
from thalweg.model.kinds import PARAMETER_KINDS
from thalweg.optim.routing.chains import as_chain, with_numbers

REST = "rest"
"""The route of what no other one takes."""


@dataclass(frozen=True)
class Routing:
    """Chains by route; made by `route`.

    A route's name is a pattern of names, a kind, or "rest". `lr_factors` are what the learning rate is
    multiplied by; `may_be_empty` says that kinds need not be in the model.
    """

    chains: Mapping[str, Chain]
    patterns: tuple[str, ...] = ()
    lr_factors: Mapping[str, float] = field(default_factory=dict)
    may_be_empty: bool = False
    needs_model: ClassVar[bool] = True
    """An optimizer is built by it from a model, not from parameters alone."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that have a route of their own."""
        return tuple(n for n in self.chains if n not in self.patterns and n != REST)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters of all chains, each as `route.name`."""
        return {
            f"{name}.{own}": value
            for name, each in self.chains.items()
            for own, value in each.hyperparameters.items()
        }

    def with_values(self, given: Mapping[str, Any]) -> Routing:
        """Return the routing with some hyperparameters replaced, each called `route.name`.

        Raises:
            RuleError: for a name that it has not.
        """
        known = self.hyperparameters
        for name in given:
            if name not in known:
                raise RuleError(
                    f"these routes have no hyperparameter {name!r}.{suggest(name, known)} "
                    f"They have: {', '.join(known) or 'none'}."
                )
        chains = {}
        for route_, each in self.chains.items():
            values = {
                own: given.get(f"{route_}.{own}", value)
                for own, value in each.hyperparameters.items()
            }
            chains[route_] = with_numbers(each, values)
        return replace(self, chains=chains)

    @property
    def name(self) -> str:
        """The rules of each chain, as "lion/adam+decay"."""
        each = ("+".join(link.rule.name for link in c.links) for c in self.chains.values())
        return "/".join(dict.fromkeys(each))

    def __repr__(self) -> str:
        patterns = ", ".join(f"{name!r}: {self.chains[name]!r}" for name in self.patterns)
        others = [f"{n}={each!r}" for n, each in self.chains.items() if n not in self.patterns]
        parts = [f"{{{patterns}}}"] if patterns else []
        if self.lr_factors:
            others.append(f"lr_factors={dict(self.lr_factors)!r}")
        if self.may_be_empty:
            others.append("may_be_empty=True")
        return f"route({', '.join([*parts, *others])})"


def route(
    patterns: Mapping[str, Any] | None = None,
    /,
    *,
    before: Chain | Link | Rule | None = None,
    lr_factors: Mapping[str, float] | None = None,
    may_be_empty: bool = False,
    **kinds: Any,
) -> Routing:
    """Say which parameters of a model go to which chain, for `Optimizer(model, route(…), lr=…)`.

    Args:
        patterns: chains by patterns of names, in which * stands for any text: {"*.attn.*": muon()}.
        before: a link that stands before all chains, such as `clip_by_global_norm(1.0)`, whose norm is then
            that of the whole model.
        lr_factors: by route, what the learning rate is multiplied by, {"embedding": 10.0}.
        may_be_empty: whether a kind or pattern may match nothing, as in a routing for several models.
        kinds: chains by kind: hidden, qkv, convolution, experts, input, head, embedding, tied, recurrent,
            norm, bias, lora, other; and `rest`, for what no other route takes.

    A value is a chain, a link, a rule, or a class of `thalweg.optim` made of rules, whose lr is left out.

    One parameter takes one route. A pattern goes before a kind. A kind without a route goes to that of the
    kind it is part of (qkv and convolution are hidden, tied is an embedding), then to the rest.

    Building the optimizer raises RuleError, with the names, for a parameter that takes no route or matches
    two patterns, and for a kind or pattern that matches nothing: what was meant by it would be stepped by
    another chain.

    >>> from thalweg.rules import adam, decay, lion
    >>> route(hidden=chain(lion, decay(0.1)), rest=adam(beta2=0.95)).kinds
    ('hidden',)
    """
    given: dict[str, Any] = {**(patterns or {}), **kinds}
    if not given:
        raise RuleError("route() needs at least one route: route(hidden=lion(), rest=adam()).")
    known = (*PARAMETER_KINDS, REST)
    for name in kinds:
        if name not in known:
            raise RuleError(
                f"No parameters are of the kind {name!r}.{suggest(name, known)} Kinds are: "
                f"{', '.join(known)}; names are matched by patterns: route({{'*.{name}.*': …}})."
            )
    for pattern in patterns or {}:
        if not isinstance(pattern, str) or pattern in known:
            raise RuleError(
                f"The pattern {pattern!r} is a kind, or no text: write a kind as a keyword, "
                "route(hidden=…), and a pattern of names as a text, route({'*.attn.*': …})."
            )
    chains = {name: as_chain(value, f"the route {name!r}") for name, value in given.items()}
    if before is not None:
        chains = {name: chain(before, each) for name, each in chains.items()}
    factors = dict(lr_factors or {})
    _check_factors(factors, chains)
    return Routing(chains, tuple(patterns or {}), factors, may_be_empty)


def _check_factors(factors: Mapping[str, Any], chains: Mapping[str, Chain]) -> None:
    for name, factor in factors.items():
        if name not in chains:
            raise RuleError(
                f"lr_factors has {name!r}, which is not a route.{suggest(name, chains)} Routes are: "
                f"{', '.join(chains)}."
            )
        if (
            isinstance(factor, bool)
            or not isinstance(factor, (int, float))
            or not 0 <= factor < float("inf")
        ):
            raise RuleError(
                f"lr_factors[{name!r}] is {factor!r}; it is a finite number of at least 0."
            )
