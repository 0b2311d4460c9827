"""The steps of several batches in prepared calls: all are checked before any is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from thalweg.engine.refusals import Refusals


class CheckedCall(Protocol):
    """The step of one batch: checked first, which may refuse it, then taken."""

    def check(
        self, params: list[Any], states: dict[Any, Any], numbers: Sequence[list[Any]]
    ) -> list[Any] | None:
        """Make all checks, and return the gradients, or None where something is other than it was.

        Nothing is written that a later step relies on. The gradients must live until the step is over.
        """

    def take(self) -> None:
        """Count the step that was checked, and write the new parameters and states."""


class StepInCalls:
    """The step of a plan of several batches, each of which can be stepped at any time."""

    def __init__(self, calls: Sequence[CheckedCall]) -> None:
        self._calls = calls
        self._refusals = Refusals()

    def step(self, params: list[Any], states: dict[Any, Any], numbers: Sequence[list[Any]]) -> bool:
        """Step all batches, if nothing has changed for any of them; otherwise change nothing."""
        if self._refusals.is_pausing():
            return False
        grads = []
        for call in self._calls:
            grads.append(call.check(params, states, numbers))
            if grads[-1] is None:
                self._refusals.note(refused=True)
                return False
        self._refusals.note(refused=False)
        for call in self._calls:
            call.take()
        return True
