"""The settings of a lab: a dataclass, and how its values are read and checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from thalweg.errors import TaskError, suggest
from thalweg.numeric import as_whole, is_real

Settings = TypeVar("Settings")


def setting(
    default: Any, about: str, *, low: float | None = None, high: float | None = None
) -> Any:
    """Return a field of a dataclass of settings.

    Args:
        default: an integer, a float, or a tuple of floats; values given later are of its kind.
        about: what it is, in a few words.
        low: the least value allowed.
        high: the largest.
    """
    return dataclasses.field(default=default, metadata={"about": about, "low": low, "high": high})


def chosen(kind: type[Settings], given: Mapping[str, Any], lab: str) -> Settings:
    """Return settings with the given values, which may be texts as a command line has them.

    Raises:
        TaskError: for a setting that is not there or a value that it cannot have.

    >>> @dataclasses.dataclass
    ... class Mine:
    ...     rows: int = setting(3, "rows", low=1)
    ...     rates: tuple[float, ...] = setting((0.1,), "rates")
    >>> chosen(Mine, {"rows": "5", "rates": "1e-2,1"}, "mine")
    Mine(rows=5, rates=(0.01, 1.0))
    """
    fields = {each.name: each for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {}
    for name, value in given.items():
        key = name.replace("-", "_")
        if key not in fields:
            raise TaskError(
                f"The lab {lab!r} has no setting {name!r}.{suggest(name, fields)} It has: "
                f"{', '.join(fields)}."
            )
        values[key] = _read(fields[key], value, lab)
    return kind(**values)


def described(kind: type[Any]) -> list[dict[str, str]]:
    """Return each setting's name, its default as a command line has it, and what it is."""
    return [
        {"name": each.name, "default": text_of(each.default), "about": each.metadata["about"]}
        for each in dataclasses.fields(kind)
    ]


def text_of(value: Any) -> str:
    """Return a value as a command line has it.

    >>> text_of((0.1, 3.0)), text_of(5)
    ('0.1,3', '5')
    """
    return ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else f"{value}"


def _read(own: dataclasses.Field[Any], value: Any, lab: str) -> Any:
    low, high = own.metadata["low"], own.metadata["high"]
    many = isinstance(own.default, tuple)
    parts = value.split(",") if many and isinstance(value, str) else value if many else [value]
    try:
        numbers = [_number(part, whole=isinstance(own.default, int)) for part in parts]
    except TypeError:  # one number where several are expected
        numbers = [_number(parts, whole=False)]
    for number in numbers:
        if (
            number is None
            or (low is not None and number < low)
            or (high is not None and number > high)
        ):
            raise TaskError(
                f"The setting {own.name} of the lab {lab!r} must be {_expected(own, many)}; got {value!r}."
            )
    if many and not numbers:
        raise TaskError(f"The setting {own.name} of the lab {lab!r} needs at least one number.")
    return tuple(numbers) if many else numbers[0]


def _number(given: Any, *, whole: bool) -> float | None:
    """Return a finite number, or None if it is not one."""
    try:
        value = (int(given) if whole else float(given)) if isinstance(given, str) else given
    except ValueError:
        return None
    if whole:
        return as_whole(value)
    return float(value) if is_real(value) and math.isfinite(value) else None


def _expected(own: dataclasses.Field[Any], many: bool) -> str:
    kind = "an integer" if isinstance(own.default, int) else "a finite number"
    if many:
        kind = "finite numbers, separated by commas,"
    low, high = own.metadata["low"], own.metadata["high"]
    ends = [f"at least {low:g}"] if low is not None else []
    ends += [f"at most {high:g}"] if high is not None else []
    return f"{kind} of {' and '.join(ends)}" if ends else kind.rstrip(",")
