"""Optimizers by the names that `fit`, races and the command line know them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from thalweg import optim
from thalweg.errors import TaskError, suggest
from thalweg.optim.not_optimizers import instead


@dataclass(frozen=True)
class NamedOptimizer:
    """An optimizer with a name: what builds it, and the hyperparameters that the name stands for."""

    name: str
    factory: type[torch.optim.Optimizer]
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wants_all_rows(self) -> bool:
        """Whether it is for whole batches, as solvers, Rprop and DeltaBarDelta are."""
        return bool(getattr(self.factory, "wants_all_rows", False))


def named_optimizers() -> dict[str, NamedOptimizer]:
    """Return every optimizer that has a name: those of `thalweg.optim`, in lower case, and SGD's two with
    momentum.

    >>> named_optimizers()["nesterov"].hyperparameters
    {'momentum': 0.9, 'nesterov': True}
    """
    found = {
        "sgd": NamedOptimizer("sgd", optim.SGD),
        "momentum": NamedOptimizer("momentum", optim.SGD, {"momentum": 0.9}),
        "nesterov": NamedOptimizer("nesterov", optim.SGD, {"momentum": 0.9, "nesterov": True}),
    }
    for name in optim.__all__:
        if name != "Optimizer":  # it is a class for chains, and has none of its own
            found.setdefault(name.lower(), NamedOptimizer(name.lower(), getattr(optim, name)))
    return found


def find_optimizer(name: str) -> NamedOptimizer:
    """Return the optimizer of a name, in whatever case.

    Raises:
        TaskError: for a name that no optimizer has, with the close ones; of a wrapper or a rule it says
            how to use it.
    """
    known = named_optimizers()
    try:
        return known[name.strip().lower()]
    except KeyError:
        hint = (
            f" {other}"
            if (other := instead(name))
            else suggest(name.strip(), known) or f" Known are: {', '.join(sorted(known))}."
        )
        raise TaskError(f"No optimizer is called {name.strip()!r}.{hint}") from None
