"""Cutting fractions of the rows off a set, for validation and testing."""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol, Self, TypeVar

import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.numeric import as_seed, is_real, share

Split = Literal["random", "stratified", "last"]


def fractions_in(given: dict[str, Any]) -> dict[str, Any]:
    """Return the sets that are given as fractions of the rows."""
    return {name: part for name, part in given.items() if is_fraction(part)}


def given_apart(given: dict[str, Any]) -> dict[str, Any]:
    """Return the sets that are given as such, and are not fractions."""
    return {n: part for n, part in given.items() if part is not None and not is_fraction(part)}


def is_fraction(part: Any) -> bool:
    """Return whether a set is given as a fraction of the rows."""
    return isinstance(part, bool) or is_real(part)  # a bool is refused as one


def checked_seed(seed: Any) -> int:
    """Return a seed as an integer; DataError if it is not one."""
    whole = as_seed(seed)
    if whole is None:
        raise DataError(f"seed must be an integer from 0 to 2⁶³ − 1; got {seed!r}.")
    return whole


class InMemory(Protocol):
    """A set in memory, of which rows can be selected."""

    @property
    def inputs(self) -> Tensor:
        """The inputs, a row each."""

    def select(self, index: Tensor) -> Self:
        """Return the rows at `index`."""


Set = TypeVar("Set", bound=InMemory)


def cut(
    whole: Set, labels: Tensor, fractions: dict[str, Any], split: Split, seed: int
) -> dict[str, Set]:
    """Return the training set, and beside it the sets that are fractions of `whole`, whose targets are
    `labels`.
    """
    if not fractions:
        return {"train": whole}
    rows = torch.arange(len(whole.inputs))
    if split == "random":
        cuts = cut_rows(rows, fractions, seed)
    elif split == "last":
        cuts = cut_rows(rows, fractions, None)
    elif split == "stratified":
        cuts = _cut_classes(labels, fractions, seed)
    else:
        raise DataError(f"split must be 'random', 'stratified' or 'last'; got {split!r}.")
    return {name: whole.select(index) for name, index in cuts.items()}


def cut_rows(rows: Tensor, fractions: dict[str, Any], seed: int | None) -> dict[str, Tensor]:
    """Return the rows of each part; with a seed drawn at random, then put in order."""
    count = len(rows)
    for name, fraction in fractions.items():
        if not 0 < fraction < 1:
            raise DataError(f"A fraction lies between 0 and 1; got {name}={fraction}.")
    sizes = {name: math.ceil(share(count, fraction)) for name, fraction in fractions.items()}
    if sum(sizes.values()) >= count:
        asked = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise DataError(f"Of {count} rows, {asked} leave none for training.")
    if seed is not None:
        rows = rows[torch.randperm(count, generator=torch.Generator().manual_seed(seed))]
    start = count - sum(sizes.values())
    cuts = {"train": rows[:start]}
    for name, size in sizes.items():
        cuts[name] = rows[start : start + size]
        start += size
    return {name: index.sort().values for name, index in cuts.items()}


def _cut_classes(targets: Tensor, fractions: dict[str, Any], seed: int) -> dict[str, Tensor]:
    if targets.ndim != 1 or targets.is_floating_point():
        raise DataError(
            "split='stratified' needs class numbers as targets: integers of shape (rows,)."
        )
    parts: dict[str, list[Tensor]] = {}
    for label in torch.unique(targets):
        cuts = cut_rows((targets == label).nonzero().flatten(), fractions, seed)
        for name, index in cuts.items():
            parts.setdefault(name, []).append(index)
    return {name: torch.cat(index).sort().values for name, index in parts.items()}
