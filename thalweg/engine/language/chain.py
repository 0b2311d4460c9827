"""Chains: rules composed from update to update, with a functional face."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.eager.functional import functional_step
from thalweg.engine.language.compose import program_of
from thalweg.engine.language.places import (
    matrix_states_of,
    name_places,
    scalar_states_of,
    states_of,
)
from thalweg.engine.language.rule import Link, Rule, check_kind, is_switch
from thalweg.engine.matrix.states import new_state
from thalweg.engine.program.program import Program
from thalweg.errors import RuleError, suggest
from thalweg.numeric import is_schedule


class Chain:
    """Rules in order: each takes the update that the one before returned. Made by `chain`.

    Attributes: `links`; `hyperparameters`, the values by name; `states`, `matrix_states` and `scalar_states`,
    the names of what is kept for each parameter: tensors of its shape, of other shapes, and numbers. A name
    that two rules use is written `rule.name`.
    """

    def __init__(self, links: tuple[Link, ...]) -> None:
        self.links = links
        _check_order(links)
        self.places = name_places(link.rule for link in links)
        self.hyperparameters: dict[str, Any] = {
            place.names[name]: value
            for link, place in zip(links, self.places, strict=True)
            for name, value in link.values.items()
        }
        self.states = states_of(self.places)
        self.matrix_states = matrix_states_of(self.places)
        self.scalar_states = scalar_states_of(self.places)

    @cached_property
    def switches(self) -> tuple[str, ...]:
        """The hyperparameters on which a rule may branch."""
        return tuple(n for n, v in self.hyperparameters.items() if is_switch(v))

    def program(self, values: Mapping[str, Any]) -> Program:
        """Return the program of the chain for the switches in `values`."""
        return program_of(
            self.places, {name: values[name] for name in self.switches}, self.__repr__
        )

    def init(self, p: Any) -> dict[str, Any]:
        """Return the state of a parameter before its first step: {"t": 0, …}.

        `p` is a tensor, or a dict of tensors (then each state is such a dict).
        """
        state: dict[str, Any] = {"t": 0}
        state |= {name: _map(torch.zeros_like, p) for name in self.states}
        program = self.program(self.hyperparameters)
        for name, shape in program.matrix_states.items():
            state[name] = _map(partial(new_state, shape, program.seen), p)
        for name, first in self.scalar_states.items():
            by_tensor = name in program.number_outputs and isinstance(p, Mapping)
            state[name] = dict.fromkeys(p, first) if by_tensor else first
        return state

    def step(
        self, p: Any, g: Any, state: Mapping[str, Any], *, lr: Any, **hyperparameters: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return the new parameter and state, p ← p − lr·update; nothing given is changed.

        `p` and `g` are tensors, or dicts of tensors with the same keys. Pure, differentiable, and usable
        under `torch.func`; `lr` and the hyperparameters may be 0-d tensors, or schedules, functions of the
        number of steps taken.

        >>> import torch
        >>> from thalweg.rules import momentum
        >>> w = torch.tensor([1.0])
        >>> heavy = chain(momentum(0.5))
        >>> state = heavy.init(w)
        >>> for _ in range(2):
        ...     w, state = heavy.step(w, 2 * w, state, lr=0.1)
        >>> w
        tensor([0.5400])
        """
        given = {**self.with_values(hyperparameters), "lr": lr}
        taken = state.get("t", 0)
        values = {name: v(taken) if is_schedule(v) else v for name, v in given.items()}
        return functional_step(self.program(given), p, g, state, values)

    def with_values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyperparameters, some replaced; an unknown name is an error."""
        for name, value in given.items():
            if name not in self.hyperparameters:
                raise RuleError(
                    f"{self!r} has no hyperparameter {name!r}.{suggest(name, self.hyperparameters)} "
                    f"It has: {', '.join(self.hyperparameters) or 'none'}."
                )
            check_kind(repr(self), name, self.hyperparameters[name], value)
        return {**self.hyperparameters, **given}

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, self.links))})"


def chain(*links: Link | Rule | Chain) -> Chain:
    """Compose rules: the update that one returns is the next one's first argument.

    The update enters as the gradient; after the last link the parameter moves, p ← p − lr·update, and links
    that act after the step, such as `decay` or `ema`, come last. A rule is
    given with its hyperparameters, `adam(beta2=0.95)`, or bare, with its defaults. The chain goes to
    `Optimizer`, or is stepped by hand: `state = chain.init(p)`, `p, state = chain.step(p, g, state, lr=0.1)`.

    Raises:
        RuleError: a link is not a rule, or acts on the update and stands where there is none any more.

    >>> from thalweg.rules import adam, clip_by_norm, decay
    >>> chain(clip_by_norm(1.0), adam(beta2=0.95), decay(0.1)).states
    ('m', 'v')
    """
    if not links:
        raise RuleError("chain() needs at least one rule: chain(adam(beta2=0.95)).")
    flat: list[Link] = []
    for k, given in enumerate(links):
        link: Any = given
        if isinstance(link, Chain):
            flat.extend(link.links)
        elif isinstance(link, Link):
            flat.append(link)
        elif isinstance(link, Rule):
            flat.append(link())
        else:
            raise RuleError(f"Link {k + 1} of the chain is {link!r:.80}, not a rule.{_hint(link)}")
    return Chain(tuple(flat))


def _check_order(links: tuple[Link, ...]) -> None:
    """Refuse an update where there is none any more: after the step, or multiplied by the learning rate."""
    for before, after in pairwise(links):
        if after.rule.kind.after_step:
            continue
        if before.rule.kind.lr_inside:
            raise RuleError(
                f"{before!r} multiplies its update by the learning rate (lr_inside=True), so {after!r} "
                "cannot stand after it. Put it before if it acts on gradients, or use a rule that leaves the "
                "learning rate to the engine."
            )
        if before.rule.kind.after_step:
            raise RuleError(
                f"{before!r} acts after the step (after_step=True), so {after!r}, which acts on the update, "
                "cannot stand after it. Put it before."
            )


def _hint(link: Any) -> str:
    if inspect.isfunction(link):
        return " Decorate it with @rule first"
    if inspect.isclass(link) and issubclass(link, torch.optim.Optimizer):
        return f" It is an optimizer of its own: use it directly, {link.__name__}(params, …)"
    return ""


def _map(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: function(leaf) for name, leaf in tree.items()}
    return function(tree)
