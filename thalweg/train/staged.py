"""What a recipe knows of a strategy: it trains in the recipe's place. `thalweg.strategies` has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from thalweg.errors import TaskError


class Staged(Protocol):
    """A strategy, as a recipe and a race see it; each is a `thalweg.strategies.Strategy`."""

    def fit(
        self,
        recipe: Any,
        *,
        checkpoint: Any,
        progress: bool | None,
        callbacks: Iterable[Any],
    ) -> Any:
        """Train by a recipe that has no strategy, in stages; return the run."""

    def identity(self) -> str:
        """Return a text that is another one for a strategy that trains otherwise."""


def check_strategy(strategy: Any) -> None:
    """Raise TaskError if it is not a strategy."""
    methods = (getattr(strategy, name, None) for name in ("fit", "identity"))
    if strategy is None or (not isinstance(strategy, type) and all(map(callable, methods))):
        return
    raise TaskError(
        "strategy must be one of thalweg.strategies, such as thalweg.strategies.curriculum(); "
        f"got {strategy!r:.80}." + (" Make one: call it." if isinstance(strategy, type) else "")
    )
