"""A figure over several seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST = 1e6
"""Numbers from here on are shown with an exponent."""


@dataclass(frozen=True)
class Spread:
    """The mean of a figure over the seeds, and its standard deviation."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return mean and standard deviation of some numbers."""
        if not all(map(math.isfinite, values)):
            return cls(math.nan, math.nan)
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)

    def __str__(self) -> str:
        how = ".2f" if abs(self.mean) < _LONGEST else ".3g"  # a loss may be astronomic
        return f"{self.mean:+{how}} ± {self.std:{how}}"
