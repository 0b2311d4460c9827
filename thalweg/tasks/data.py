"""Data: the training, validation and test sets of a task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from thalweg.errors import DataError
from thalweg.numeric import as_whole, is_real, share
from thalweg.tasks.cached import cached
from thalweg.tasks.encode import Scaler
from thalweg.tasks.sources import ArraySource, Source, as_arrays, as_source

Split = Literal["random", "stratified", "last"]
Scaling = Literal["standard", "min_max"]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Data:
    """Training, validation and test sets, each a pair of arrays, a torch `Dataset` or a
    `DataLoader`.

    `Data.arrays` and `Data.dataset` cut validation and test sets off one set. `scaler` and
    `target_scaler` are what was applied to inputs and targets; `predict` applies them again, and
    their inverse.
    """

    train: Source
    validation: Source | None = None
    test: Source | None = None
    scaler: Scaler | None = None
    target_scaler: Scaler | None = None

    def __post_init__(self) -> None:
        for name in SPLITS:
            value = getattr(self, name)
            if value is not None or name == "train":
                object.__setattr__(self, name, as_source(value, name))

    def __repr__(self) -> str:
        sets = {name: getattr(self, name) for name in SPLITS}
        return f"Data({', '.join(f'{k}={v!r}' for k, v in sets.items() if v is not None)})"

    @classmethod
    def arrays(
        cls,
        x: Any,
        y: Any = None,
        *,
        validation: float | tuple[Any, Any] | None = None,
        test: float | tuple[Any, Any] | None = None,
        split: Split = "random",
        seed: int = 0,
        scale: Scaling | None = None,
        scale_targets: bool = False,
    ) -> Data:
        """Return the data of arrays or tensors `x` (rows, …) and `y` (rows, …), in memory.

        `y` None stands for `x` itself. `validation` and `test` are sets (x, y) of their own or
        fractions of the rows, cut off by `split`: "random" under `seed`, "stratified" so that each
        class keeps its share, or "last", the last rows as they stand (validation before test). A
        fraction f leaves ⌊n·(1 − f)⌋ of n rows, computed as it is written in decimal: .3 of 90 rows
        are 27.

        `scale` fits a scaling of the input columns ("standard": mean 0, deviation 1; "min_max": 0
        to 1) on the training rows alone and applies it to all sets; `scale_targets` does so to
        real-valued targets.

        Raises DataError for empty sets, unequal lengths, NaN or infinity, and fractions that leave
        a set empty.

        >>> import numpy as np
        >>> x = np.arange(10.0).reshape(10, 1)
        >>> data = Data.arrays(x, np.arange(10), validation=0.2, split="last")
        >>> data.train.rows, data.validation.targets.tolist()
        (8, [8, 9])
        """
        whole, seed = as_arrays(x, x if y is None else y), _seed(seed)
        sets: dict[str, ArraySource] = {"train": whole}
        fractions = {}
        for name, part in (("validation", validation), ("test", test)):
            if _is_fraction(part):
                fractions[name] = part
            elif part is not None:
                sets[name] = _explicit(part, name)
        if fractions:
            sets |= _cut(whole, fractions, split, seed)
        _check_shapes(sets)
        scaler = None if scale is None else _fit(scale, sets["train"].inputs)
        target_scaler = _fit_targets(scale or "standard", sets["train"]) if scale_targets else None
        scaled = {name: _scaled(part, scaler, target_scaler) for name, part in sets.items()}
        return cls(
            scaled["train"], scaled.get("validation"), scaled.get("test"), scaler, target_scaler
        )

    @classmethod
    def dataset(
        cls,
        dataset: Dataset[Any],
        *,
        validation: float | Dataset[Any] | None = None,
        test: float | Dataset[Any] | None = None,
        seed: int = 0,
        cache: bool = False,
    ) -> Data:
        """Return the data of a torch data set; a fraction cuts a random part off it, under `seed`.

        `cache` reads the items once and keeps them as tensors: batches are the same, bit by bit, and
        cost no reading. A set that draws random numbers when it is read is refused, since a cache would
        give the same draw in every epoch.

        Raises DataError where a fraction is asked of a data set without a length, and where a set cannot
        be cached: it draws, its items differ in shape, or it does not fit into memory.

        >>> class Squares(Dataset):
        ...     __len__ = lambda self: 10
        ...     __getitem__ = lambda self, k: (torch.tensor([float(k)]), k * k)
        >>> Data.dataset(Squares(), cache=True)
        Data(train=<10 rows: float32 (1,) -> int64 ()>)
        """
        source, seed = as_source(dataset), _seed(seed)
        parts: dict[str, Any] = {"train": dataset, "validation": validation, "test": test}
        fractions = {name: part for name, part in parts.items() if _is_fraction(part)}
        if fractions:
            if source.rows is None:
                raise DataError(
                    "An iterable data set has no length to take a fraction of: give its "
                    "validation and test sets apart."
                )
            cuts = _cut_rows(torch.arange(source.rows), fractions, seed)
            parts |= {name: Subset(dataset, rows.tolist()) for name, rows in cuts.items()}
        if cache:
            parts = {
                name: None if part is None else cached(as_source(part, name), name)
                for name, part in parts.items()
            }
        return cls(parts["train"], parts["validation"], parts["test"])

    def split(self, name: str) -> Source:
        """Return the set called "train", "validation" or "test"; DataError if the data has none."""
        if name not in SPLITS:
            raise DataError(f"There is no split {name!r}: it is 'train', 'validation' or 'test'.")
        source: Source | None = getattr(self, name)
        if source is None:
            raise DataError(
                f"The data has no {name} set; give one to Data, or a fraction: {name}=0.1."
            )
        return source


def _is_fraction(part: Any) -> bool:
    return isinstance(part, bool) or is_real(part)  # a truth value is refused as one


def _seed(seed: Any) -> int:
    whole = as_whole(seed)
    if whole is None or not 0 <= whole < 2**63:
        raise DataError(f"seed is a whole number from 0 to 2⁶³ − 1; got {seed!r}.")
    return whole


def _explicit(part: Any, name: str) -> ArraySource:
    source = as_source(part, name)
    if not isinstance(source, ArraySource):
        raise DataError(f"Beside arrays, the {name} set is a pair (x, y) of arrays or a fraction.")
    return source


def _cut(
    whole: ArraySource, fractions: dict[str, Any], split: Split, seed: int
) -> dict[str, ArraySource]:
    rows = torch.arange(len(whole.inputs))
    if split == "random":
        cuts = _cut_rows(rows, fractions, seed)
    elif split == "last":
        cuts = _cut_rows(rows, fractions, None)
    elif split == "stratified":
        cuts = _cut_classes(whole.targets, fractions, seed)
    else:
        raise DataError(f"split is 'random', 'stratified' or 'last'; got {split!r}.")
    return {name: whole.select(index) for name, index in cuts.items()}


def _cut_rows(rows: Tensor, fractions: dict[str, Any], seed: int | None) -> dict[str, Tensor]:
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
        cuts = _cut_rows((targets == label).nonzero().flatten(), fractions, seed)
        for name, index in cuts.items():
            parts.setdefault(name, []).append(index)
    return {name: torch.cat(index).sort().values for name, index in parts.items()}


def _check_shapes(sets: dict[str, ArraySource]) -> None:
    train = sets["train"]
    for name, part in sets.items():
        for role in ("inputs", "targets"):
            expected, got = (tuple(getattr(s, role).shape[1:]) for s in (train, part))
            if expected != got:
                raise DataError(
                    f"The {name} {role} have rows of shape {got}, the training {role} of "
                    f"{expected}."
                )


def _fit(scale: Scaling, values: Tensor) -> Scaler:
    fits = {"standard": Scaler.standard, "min_max": Scaler.min_max}
    if scale not in fits:
        raise DataError(f"scale is 'standard' or 'min_max'; got {scale!r}.")
    return fits[scale](values)


def _fit_targets(scale: Scaling, train: ArraySource) -> Scaler:
    if not train.targets.is_floating_point():
        raise DataError(
            "scale_targets is for real-valued targets; these are integers (class numbers)."
        )
    return _fit(scale, train.targets)


def _scaled(source: ArraySource, inputs: Scaler | None, targets: Scaler | None) -> ArraySource:
    return ArraySource(
        source.inputs if inputs is None else inputs(source.inputs),
        source.targets if targets is None else targets(source.targets),
    )
