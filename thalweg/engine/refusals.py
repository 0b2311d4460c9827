"""How often a prepared step is asked for, once it was refused."""

from __future__ import annotations

LONGEST_PAUSE = 64
"""Steps for which a plan whose steps are refused again and again is not asked."""


class Refusals:
    """Counts refusals in a row: after each, a pause twice as long as the last one."""

    def __init__(self) -> None:
        self._pause = 0
        self._refused = 0

    def is_pausing(self) -> bool:
        """Whether this step is one of a pause, which it counts."""
        if not self._pause:
            return False
        self._pause -= 1
        return True

    def note(self, *, refused: bool) -> None:
        """Note whether a step was refused."""
        self._pause = self._refused if refused else 0
        self._refused = min(LONGEST_PAUSE, 2 * self._refused or 1) if refused else 0
