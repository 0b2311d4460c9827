"""The curves of which schedules are made, as numbers from 0 to 1."""

from __future__ import annotations

import math


def blend(start: float, end: float, w: float) -> float:
    """Return (1 − w)·start + w·end: exactly `start` at w = 0 and `end` at w = 1.

    >>> blend(0.1, 0.3, 0.0), blend(0.1, 0.3, 1.0)
    (0.1, 0.3)
    """
    return (1 - w) * start + w * end


def half_cosine(k: float, steps: float) -> float:
    """Return (1 + cos(π·k/steps))/2: 1 at k = 0, 0 at k = steps.

    The product comes before the division, as in PyTorch: near the end another order changes the value,
    which is a small difference of large numbers, by 1e-11 of itself.

    >>> half_cosine(0, 7), half_cosine(7, 7)
    (1.0, 0.0)
    """
    return (1 + math.cos(math.pi * k / steps)) / 2


def ramp(k: float, steps: float) -> float:
    """Return (k + 1)/(steps + 1): a straight line to 1 at k = steps that is above 0 at the first step.

    >>> [ramp(k, 3) for k in range(4)]
    [0.25, 0.5, 0.75, 1.0]
    """
    return (k + 1) / (steps + 1)
