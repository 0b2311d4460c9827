"""Batches that are one mapping, inputs and targets together: which part is the targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalweg.errors import DataError, suggest

TARGET_NAMES = ("label", "labels", "target", "targets", "y")
"""What the targets are called, where nobody says."""


def check_target(target: Any) -> None:
    """Raise DataError for what cannot be the name of the targets."""
    if target is not None and not isinstance(target, str):
        raise DataError(
            "target must be the name of the targets in batches that are mappings, such as 'labels'; got "
            f"{target!r}."
        )


def check_no_mapping(value: Any, what: str) -> None:
    """Raise DataError for a mapping where arrays are wanted; `what` begins the message."""
    if isinstance(value, Mapping):
        raise DataError(
            f"{what} made of arrays with a row for each sample; got {type(value).__name__}. Make a loader of "
            "rows that are mappings: DataLoader(rows, batch_size)."
        )


def taken_apart(batch: Mapping[Any, Any], target: str | None) -> tuple[dict[Any, Any], Any]:
    """Return the inputs of a batch by name, and its targets.

    Args:
        batch: inputs and targets by name.
        target: the name of the targets; None for the only one of `TARGET_NAMES` that is there.

    Raises:
        DataError: the targets cannot be told, or nothing is left beside them.

    >>> taken_apart({"input_ids": 1, "labels": 2}, None)
    ({'input_ids': 1}, 2)
    """
    there = ", ".join(map(repr, batch))
    name: Any = target
    if name is None:
        found = [name for name in TARGET_NAMES if name in batch]
        if len(found) != 1:
            what = "several may be" if found else "none is called as"
            usual = ", ".join(found or TARGET_NAMES)
            raise DataError(
                f"A batch is a mapping, and which of its parts the targets are cannot be told: {what} they "
                f"({usual}). It has {there}. Say it: Data(train, target={(found or list(batch))[-1]!r})."
            )
        (name,) = found
    if name not in batch:
        hint = suggest(name, [str(key) for key in batch])
        raise DataError(
            f"A batch has no part {name!r}, which was to be its targets.{hint} It has {there}."
        )
    inputs = {key: part for key, part in batch.items() if key != name}
    if not inputs:
        raise DataError(f"A batch has nothing but its targets, {name!r}: there are no inputs.")
    return inputs, batch[name]
