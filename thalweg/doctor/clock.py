"""When to look: as often as the budget of time allows."""

from __future__ import annotations

import math

SPENT = 0.8
"""Share of the budget that is spent: calls of hooks, and caches that watching leaves cold, cost time, too,
which no clock here sees."""
SOON = 1.5
"""While there is time, looks come at steps that grow by this factor up to the narrowest cadence."""
NARROWEST = 10
"""The cadence with time to spare: one of 10 steps."""


class Clock:
    """Measures the seconds of watching against those of training, and says which steps are looked at.

    A step is due when the last cadence is over and what was spent, with one more look, is below the
    share `budget` of the time of training so far. Powers of 2 are looked at whatever that costs: they are
    few, and no part of a run stays unseen.

    >>> clock = Clock(0.05)
    >>> clock.trained(1.0), clock.looked(0.01)
    (None, None)
    >>> round(clock.share, 3)
    0.01
    """

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.training = 0.0
        self.watching = 0.0
        self.looks = 0
        self._dearest = 0.0
        self._next = 0

    def trained(self, seconds: float) -> None:
        """Count seconds of training."""
        self.training += seconds

    def watched(self, seconds: float) -> None:
        """Count seconds of watching outside of looks."""
        self.watching += seconds

    def looked(self, seconds: float) -> None:
        """Count the seconds of one look."""
        self.watching += seconds
        self.looks += 1
        self._dearest = seconds if self.looks == 1 else 0.7 * self._dearest + 0.3 * seconds

    def is_due(self, step: int) -> bool:
        """Return whether a step is to be looked at."""
        if self.next_look(step) != step:
            return False
        self._next = step + max(1, min(NARROWEST, math.ceil(step * (SOON - 1))))
        return True

    def next_look(self, step: int) -> int:
        """Return the first step from this one on that is due, by what was counted up to now: a power of 2,
        or the end of the cadence where one more look fits the budget.
        """
        power_of_two = 1 << (step - 1).bit_length()
        fits = self.watching + self._dearest <= SPENT * self.budget * self.training
        return min(power_of_two, max(step, self._next)) if fits else power_of_two

    @property
    def has_time(self) -> bool:
        """Whether the budget leaves time for more than is done anyway."""
        return self.watching < SPENT * self.budget * self.training

    @property
    def share(self) -> float:
        """The time of watching as a share of that of training."""
        return self.watching / self.training if self.training else 0.0


def is_power_of_two(step: int) -> bool:
    """Return whether a step, counted from 1, is a power of 2."""
    return step & (step - 1) == 0
