"""When to look: as often as the budget of time allows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SPENT = 0.6
"""Share of the budget that is spent on what can be measured. The rest is for the caches that watching leaves
cold, which make all steps a little slower: about 1 % of steps of .5 ms to 5 ms."""
SOON = 1.5
"""While there is time, looks come at steps that grow by this factor up to the narrowest cadence."""
NARROWEST = 10
"""The cadence with time to spare: one of 10 steps."""
FOLLOWING = 4
"""Steps after a look that find caches cold; what they take beyond a usual step is charged to the look."""
SETTLED = 4
"""Undisturbed steps from which on a usual one is known."""
MEMORY = 64
"""Steps, about, over which a usual one is averaged: runs become faster and slower."""
PAUSE = 4.0
"""A step counts up to so many times a usual one: the rest is a pause, as for validation."""


class Clock:
    """Measures the seconds of watching against those of training, and says which steps are looked at.

    A step is due when the last cadence is over and what was spent, with one more look, is below the
    share `budget` of the time of training so far. Powers of 2 are looked at whatever that costs: they are
    few, and no part of a run stays unseen.

    >>> clock = Clock(0.05)
    >>> clock.stepped(1.0), clock.looked(0.01)
    (None, None)
    >>> round(clock.share, 3)
    0.01
    """

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.training = 0.0
        self.looks = 0
        self._charged = 0.0
        self._cold = 0.0
        self._beyond = 0.0
        self._since = FOLLOWING
        self._usual, self._undisturbed = math.nan, 0
        self._dearest = 0.0
        self._next = 0

    def stepped(self, seconds: float, hooks: float | None = None) -> None:
        """Count a step of training, NaN for one of which nobody knows how long it took; `hooks` are the
        seconds in hooks of a step that is looked at.
        """
        self._since = 0 if hooks is not None else self._since + 1
        if math.isnan(seconds):
            self._beyond = hooks or 0.0
            return
        is_known, usual = self._undisturbed >= SETTLED, self._usual
        if hooks is not None:
            own = max(seconds - hooks, 0.0)
            self.training += min(own, usual) if is_known else own
            own_beyond = min(max(own - usual, 0.0), (PAUSE - 1) * usual) if is_known else 0.0
            self._beyond = hooks + own_beyond
        elif not is_known:
            self.training += seconds
            self._learn(seconds)
        elif self._since <= FOLLOWING:
            self.training += usual
            self._cold += min(seconds, PAUSE * usual) - usual
        else:
            seconds = min(seconds, PAUSE * usual)
            self.training += seconds
            self._learn(seconds)

    def went_on(self, steps: NDArray[np.float64]) -> None:
        """Count the seconds of steps that are not looked at."""
        if self._undisturbed < SETTLED or self._since < FOLLOWING:
            for seconds in steps.tolist():
                self.stepped(seconds)
        elif len(steps):
            total = float(np.minimum(steps, PAUSE * self._usual).sum())
            self._since += len(steps)
            self.training += total
            self._learn(total, len(steps))

    def _learn(self, seconds: float, steps: int = 1) -> None:
        """Average steps that no look has disturbed."""
        if self._since > FOLLOWING:
            known = self._usual if self._undisturbed else 0.0
            self._undisturbed += steps
            weight = steps / min(self._undisturbed, MEMORY + steps - 1)
            self._usual = known + (seconds / steps - known) * weight

    def watched(self, seconds: float) -> None:
        """Count seconds of watching outside of looks."""
        self._charged += seconds

    def looked(self, seconds: float) -> None:
        """Count the seconds of one look, in the step that was counted last."""
        seconds += self._beyond
        self._beyond = 0.0
        self._charged += seconds
        self.looks += 1
        self._dearest = seconds if self.looks == 1 else 0.7 * self._dearest + 0.3 * seconds

    @property
    def watching(self) -> float:
        """The seconds of watching, with what it takes from the steps that follow a look."""
        return self._charged + max(self._cold, 0.0)

    def is_due(self, step: int) -> bool:
        """Return whether a step is to be looked at."""
        if self.next_look(step) != step:
            return False
        self._next = step + max(1, min(NARROWEST, math.ceil(step * (SOON - 1))))
        return True

    def next_look(self, step: int) -> int:
        """Return the first step from this one on that is due, by what was counted up to now: a power of 2,
        or the end of the cadence, and as many steps later as pay for one more look.
        """
        power_of_two = 1 << (step - 1).bit_length()
        look = self._dearest + max(self._cold, 0.0) / max(self.looks, 1)
        missing = self.watching + look - SPENT * self.budget * self.training
        if missing > 0:
            paid = SPENT * self.budget * self._usual
            if not missing < (power_of_two - step) * paid:
                return power_of_two
            step += math.ceil(missing / paid)
        return min(power_of_two, max(step, self._next))

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
