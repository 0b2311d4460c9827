"""The card of an optimizer or a rule, found by its name."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from thalweg.engine import Rule
from thalweg.errors import TaskError, suggest
from thalweg.optim.cards.card import Card
from thalweg.optim.cards.known import OF_MODELS, OPTIMIZERS, RULES, SOLVERS
from thalweg.optim.cards.of_callable import describe_callable
from thalweg.optim.cards.of_optimizer import describe_optimizer
from thalweg.optim.cards.of_rule import describe_rule
from thalweg.optim.factory import Named
from thalweg.optim.kronecker.kfac import KFAC
from thalweg.optim.solvers.base import SolverOptimizer
from thalweg.optim.twin import TorchTwin

_PLACES: tuple[tuple[str, Mapping[str, type[torch.optim.Optimizer] | Rule]], ...] = (
    ("optim.", OPTIMIZERS),
    ("optim.", SOLVERS),
    ("optim.", OF_MODELS),
    ("rules.", RULES),
)


def card(what: str | type[torch.optim.Optimizer] | Rule) -> Card:
    """Return the card of an optimizer or a rule, or of the one with this name.

    Upper and lower case are alike in a name; where an optimizer and a rule share it, it is the optimizer's,
    and the rule is called "rules.adam".

    Raises:
        TaskError: nothing has this name; the message holds those close to it.

    >>> found = card("adabelief")
    >>> found.name, found.year, found.cost.states, found.cost.bytes
    ('AdaBelief', 2020, ('m', 's'), 8)
    >>> card("ema").kind
    'rule, acts after the step'
    """
    found = find(what) if isinstance(what, str) else what
    if isinstance(found, Rule):
        return describe_rule(found)
    if isinstance(found, type) and issubclass(found, (Named, TorchTwin)):
        return describe_optimizer(found)
    if isinstance(found, type) and issubclass(found, (SolverOptimizer, KFAC)):
        return describe_callable(found, "optimizer")
    raise TaskError(
        f"{found!r} has no card: it is neither a rule nor an optimizer of thalweg.optim."
    )


def find(name: str) -> type[torch.optim.Optimizer] | Rule:
    """Return the optimizer or the rule of a name (see `card`)."""
    wanted = name.strip().removeprefix("thalweg.").lower()
    for prefix, known in _PLACES:
        for key, found in known.items():
            if wanted in (key.lower(), f"{prefix}{key.lower()}"):
                return found
    hint = suggest(wanted.rpartition(".")[2], [*RULES, *OPTIMIZERS, *SOLVERS, *OF_MODELS])
    raise TaskError(f"No optimizer and no rule is called {name!r}.{hint}")
