"""The slider of a lab: the one number that a student moves, and what it does to the settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import TaskError
from thalweg.numeric import is_real


@dataclass(frozen=True)
class Slider:
    """The one number of a lab that is there to be moved.

    Args:
        name: as it is called, such as "kappa"; for a setting that is one number, the setting's own name.
        about: what it is, in a few words.
        stops: values in order, which the page shows; the findings hold at each of them, and between.
        default: one of the stops, where the lab stands with its usual settings.
        ends: why it ends where it does: what no longer holds beyond, or what is not computed in seconds.
        unit: what it is counted in, as "rows"; "" for a pure number.
        settings: the settings at a value; None where the setting of the same name has it.
    """

    name: str
    about: str
    stops: tuple[float, ...]
    default: float
    ends: str
    unit: str = ""
    settings: Callable[[float], Mapping[str, Any]] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it takes integers only."""
        return all(isinstance(stop, int) for stop in self.stops)

    @property
    def range(self) -> str:
        """The values that it can have, as "1 to 5 units"."""
        return f"{self.stops[0]:g} to {self.stops[-1]:g} {self.unit}".rstrip()

    def shown(self, value: float) -> str:
        """Return a value with its unit, as "1 row" of "rows"."""
        return f"{value:g} {self.unit.removesuffix('s') if value == 1 else self.unit}".rstrip()

    def read(self, given: Any, lab: str) -> float:
        """Return a value, which may be a text as a command line has it.

        Raises:
            TaskError: if it is not a number within the range.
        """
        try:
            value = float(given) if isinstance(given, str) else given
        except ValueError:
            value = math.nan
        if not is_real(value) or not self.stops[0] <= value <= self.stops[-1]:
            raise TaskError(
                f"The slider of the lab {lab!r}, {self.name}, goes from {self.range}; got {given!r}."
            )
        if self.is_whole and value != int(value):
            raise TaskError(
                f"The slider of the lab {lab!r}, {self.name}, must be an integer from {self.range}; got "
                f"{given!r}."
            )
        return int(value) if self.is_whole else float(value)

    def settings_at(self, value: float) -> dict[str, Any]:
        """Return the settings that a value stands for."""
        return {self.name: value} if self.settings is None else dict(self.settings(value))

    def stops_with(self, value: float) -> tuple[float, ...]:
        """Return the stops in order, the value among them."""
        return tuple(sorted({*self.stops, value}))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "name": self.name,
            "about": self.about,
            "unit": self.unit,
            "low": self.stops[0],
            "high": self.stops[-1],
            "default": self.default,
            "stops": list(self.stops),
            "ends": self.ends,
        }


def multiples(value: float, shares: Sequence[float]) -> tuple[float, ...]:
    """Return a value times each share, without the rounding errors of products.

    >>> multiples(0.1, (1, 3, 10))
    (0.1, 0.3, 1.0)
    """
    return tuple(float(f"{value * share:.12g}") for share in shares)
