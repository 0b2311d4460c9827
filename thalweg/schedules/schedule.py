"""`Schedule`: what every schedule is, and a schedule times a number."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

from thalweg.errors import suggest
from thalweg.schedules.checks import numbers

_KINDS: dict[str, type[Schedule]] = {}


@dataclass(frozen=True, repr=False)
class Schedule(ABC):
    """A function of the step: `schedule(k)` is the value after k steps, so the one used for step k + 1.

    Make one with a class of this package, or with one of your own: a frozen dataclass with `repr=False`
    whose fields are numbers, strings, bools, schedules or tuples of them, and whose `_value` returns the
    value at any k ≥ 0. `schedule * number` is a schedule as well.

    Steps and numbers of steps may be fractions. What a schedule cannot use is refused when it is made:
    ValueError for a number out of range, TypeError if it is not a number.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, repr=False)
    ... class harmonic(Schedule):
    ...     peak: float
    ...
    ...     def _value(self, k: float) -> float:
    ...         return self.peak / (1 + k)
    >>> schedule = harmonic(0.6) * 0.5
    >>> schedule, schedule(0), schedule(1)
    (harmonic(0.6) * 0.5, 0.3, 0.15)
    >>> Schedule.from_dict(schedule.to_dict()) == schedule
    True
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = _KINDS.setdefault(cls.__name__, cls)
        if known.__module__ != cls.__module__:
            raise TypeError(
                f"A schedule called {cls.__name__!r} exists already, in {known.__module__}; `from_dict` "
                "finds schedules by name, so choose another."
            )
        _KINDS[cls.__name__] = cls  # a class defined again, as in a notebook, replaces itself

    @abstractmethod
    def _value(self, k: float) -> float:
        """Return the value at k ≥ 0, a finite float."""

    def __call__(self, k: float) -> float:
        """Return the value after `k` steps, a float; k counts from 0 and may be a fraction.

        Raises:
            ValueError: k is negative, NaN, infinite or not a number.
            OverflowError: the value is larger than a float64 holds.
        """
        step = float(k) if hasattr(k, "__float__") else math.nan
        if not 0 <= step < math.inf:
            raise ValueError(
                f"{self.name}: a step must be a finite number of at least 0, got {k!r}."
            )
        value = self._value(step)
        if not math.isfinite(value):
            raise OverflowError(f"{self!r} is not a finite number at step {k!r}: {value}")
        return value

    @property
    def name(self) -> str:
        """What kind of schedule this is, such as 'cosine'."""
        return type(self).__name__

    def __repr__(self) -> str:
        given: list[str] = []
        by_name = False
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                by_name = True  # what follows a field left out
            elif by_name or field.kw_only:
                given.append(f"{field.name}={value!r}")
            else:
                given.append(repr(value))
        return f"{self.name}({', '.join(given)})"

    def __mul__(self, factor: float) -> Schedule:
        return scaled(self, factor)

    __rmul__ = __mul__

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule as plain JSON: its name and every number of it."""
        return {"name": self.name, **{f.name: _plain(getattr(self, f.name)) for f in fields(self)}}

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Schedule:
        """Return the schedule that `to_dict` wrote.

        Raises:
            ValueError: no schedule of that name is defined, or its fields are not those stored.
            ValueError, TypeError: the values are not what that schedule takes.

        >>> from thalweg.schedules import cosine
        >>> cosine(3e-4, steps=1000).to_dict()
        {'name': 'cosine', 'peak': 0.0003, 'steps': 1000, 'floor': 0.0, 'warmup': 0}
        >>> Schedule.from_dict({"name": "cosine", "steps": 10})
        cosine(steps=10)
        """
        if not isinstance(record, Mapping) or not isinstance(record.get("name"), str):
            raise ValueError(
                f"A schedule must be stored as a dictionary with its name under 'name', got {record!r}."
            )
        given = dict(record)
        name = given.pop("name")
        if name not in _KINDS:
            raise ValueError(
                f"No schedule is called {name!r}; there are {', '.join(sorted(_KINDS))}."
                f"{suggest(name, _KINDS)} Import your own before it is read."
            )
        kind = _KINDS[name]
        declared = {f.name: f.default is MISSING for f in fields(kind)}
        for key in given:
            if key not in declared:
                raise ValueError(
                    f"{name} has no {key!r}; it has {', '.join(declared)}.{suggest(str(key), declared)}"
                )
        missing = [key for key, needed in declared.items() if needed and key not in given]
        if missing:
            raise ValueError(f"{name} is stored without {', '.join(missing)}: {record!r}.")
        return kind._from_fields(**{key: _rich(value) for key, value in given.items()})

    @classmethod
    def _from_fields(cls, **values: Any) -> Self:
        """Make a schedule of its fields; a class whose constructor takes something else overrides it."""
        return cls(**values)


@dataclass(frozen=True, repr=False)
class scaled(Schedule):  # noqa: N801 - called like a function
    """A schedule times a number; `schedule * factor` makes it."""

    schedule: Schedule
    factor: float

    def __post_init__(self) -> None:
        a_schedule(self.name, "schedule", self.schedule)
        numbers(self, "factor")

    def _value(self, k: float) -> float:
        return self.schedule(k) * self.factor

    def __repr__(self) -> str:
        return f"{self.schedule!r} * {self.factor!r}"


def a_schedule(owner: str, what: str, value: Any) -> Schedule:
    """Return `value` if it is a schedule."""
    if not isinstance(value, Schedule):
        raise TypeError(
            f"{owner}: {what} must be a schedule, such as constant(0.1), got {value!r}."
        )
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.to_dict()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _rich(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Schedule.from_dict(value)
    return tuple(_rich(item) for item in value) if isinstance(value, list | tuple) else value
