"""What the fields of a schedule must be. Each check also gives the field its one normal form, so that
schedules that mean the same are equal and print the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from thalweg.errors import suggest


def numbers(schedule: Any, *names: str) -> None:
    """Each field is a finite number, kept as a float."""
    _check(schedule, names, "a finite number", lambda value: True)


def positive(schedule: Any, *names: str) -> None:
    """Each field is a finite number above 0, kept as a float."""
    _check(schedule, names, "a finite number above 0", lambda value: value > 0)


def at_least(schedule: Any, bound: float, *names: str) -> None:
    """Each field is a finite number of at least `bound`, kept as a float."""
    _check(schedule, names, f"a finite number of at least {bound}", lambda value: value >= bound)


def fractions(schedule: Any, *names: str) -> None:
    """Each field is a number from 0 to 1, kept as a float."""
    _check(schedule, names, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def lengths(schedule: Any, *names: str) -> None:
    """Each field is a number of steps above 0, kept as an int where it is whole."""
    for name in names:
        _set(schedule, name, length(schedule.name, name, getattr(schedule, name)))


def lengths_or_zero(schedule: Any, *names: str) -> None:
    """Each field is a number of steps of at least 0, kept as an int where it is whole."""
    for name in names:
        wanted = "a number of steps of at least 0"
        value = number(schedule.name, name, getattr(schedule, name), wanted, lambda v: v >= 0)
        _set(schedule, name, _whole(value))


def flags(schedule: Any, *names: str) -> None:
    """Each field is True or False."""
    for name in names:
        if not isinstance(getattr(schedule, name), bool):
            raise TypeError(_message(schedule.name, name, "True or False", getattr(schedule, name)))


def one_of(schedule: Any, name: str, known: Sequence[str]) -> None:
    """The field is one of these words."""
    value = getattr(schedule, name)
    if value not in known:
        wanted = f"one of {', '.join(map(repr, known))}"
        hint = suggest(value, known) if isinstance(value, str) else ""
        raise ValueError(_message(schedule.name, name, wanted, value) + (hint and f".{hint}"))


def length(owner: str, what: str, value: Any) -> float:
    """Return `value` if it is a number of steps above 0: an int where it is whole."""
    return _whole(number(owner, what, value, "a number of steps above 0", lambda v: v > 0))


def number(owner: str, what: str, value: Any, wanted: str, holds: Callable[[float], bool]) -> float:
    """Return `value` as a float if it is a finite number for which `holds`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(_message(owner, what, wanted, value))
    try:
        exact = float(value)
    except OverflowError:
        exact = math.inf
    if not math.isfinite(exact) or not holds(exact):
        raise ValueError(_message(owner, what, wanted, value))
    return exact


def _check(
    schedule: Any, names: Sequence[str], wanted: str, holds: Callable[[float], bool]
) -> None:
    for name in names:
        value = number(schedule.name, name, getattr(schedule, name), wanted, holds)
        _set(schedule, name, value)


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else value


def _set(schedule: Any, name: str, value: Any) -> None:
    object.__setattr__(schedule, name, value)  # the dataclass is frozen, and still being made


def _message(owner: str, what: str, wanted: str, got: Any) -> str:
    return f"{owner}: {what} must be {wanted}, got {got!r}"
