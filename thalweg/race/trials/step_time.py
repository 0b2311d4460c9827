"""The seconds of a step as they were measured: one figure a turn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.reading import is_number
from thalweg.statistics.shared import SharedError


@dataclass(frozen=True)
class StepTime:
    """The seconds of a step in each turn; in a single one where an earlier version measured them.

    `busy` is the share of these seconds for which the process had a processor, None where it is not
    known: it waited for the rest, for a processor that others used or for data.

    Example:
        >>> time = StepTime((0.010, 0.012, 0.011))
        >>> time.seconds, round(time.error.spread, 3)
        (0.011, 0.091)
        >>> StepTime.read(time.written()) == time, StepTime.read(0.5).error, StepTime.read("soon")
        (True, None, None)
    """

    turns: tuple[float, ...]
    busy: float | None = None

    @property
    def seconds(self) -> float:
        """The median of the turns."""
        return float(statistics.median(self.turns))

    @property
    def error(self) -> SharedError | None:
        """How far the logarithm of the seconds may be wrong: as far as one turn. None if unknown."""
        return SharedError.of([math.log(turn) for turn in self.turns])

    def written(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {"turns": list(self.turns), "busy": self.busy}

    @classmethod
    def read(cls, value: Any) -> StepTime | None:
        """Return what `written` gave, or the number of an earlier version; None for anything else."""
        if is_number(value):
            return cls((float(value),)) if value > 0 else None
        turns = value.get("turns") if isinstance(value, Mapping) else None
        if not isinstance(turns, list) or not turns:
            return None
        if not all(is_number(turn) and turn > 0 for turn in turns):
            return None
        busy = value.get("busy")
        return cls(tuple(map(float, turns)), float(busy) if is_number(busy) else None)
