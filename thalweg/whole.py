"""Integers that users give, refused by name where they are none."""

from __future__ import annotations

from typing import Any

from thalweg.errors import TaskError
from thalweg.numeric import as_whole


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Return `value` if it is an integer ≥ `least`; else raise TaskError."""
    whole = as_whole(value)
    if whole is None or whole < least:
        raise TaskError(f"{name} must be an integer ≥ {least}; got {value!r}.")
    return whole
