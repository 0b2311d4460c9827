"""Data: the training, validation and test sets of a task."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from thalweg.errors import DataError
from thalweg.tasks.cut import (
    Split,
    checked_seed,
    cut,
    cut_rows,
    fractions_in,
    given_apart,
    is_fraction,
)
from thalweg.tasks.encode import Scaler
from thalweg.tasks.pictures import Mode, read_image_folder
from thalweg.tasks.sources.cached import cached
from thalweg.tasks.sources.mappings import check_target
from thalweg.tasks.sources.source import (
    ArraySource,
    DatasetSource,
    LoaderSource,
    Source,
    as_arrays,
    as_source,
)
from thalweg.tasks.sources.weighted import Rows, WeightedSource, arrays_of, as_set, weigh
from thalweg.tasks.tables.column import Missing
from thalweg.tasks.tables.columns import (
    Categorical,
    Columns,
    TargetKind,
    features_of,
    target_of,
)
from thalweg.tasks.tables.frames import as_frame

Scaling = Literal["standard", "min_max"]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Data:
    """Training, validation and test sets, each a pair of arrays, a torch `Dataset` or a
    `DataLoader`.

    A third array, or a third part of the batches, weighs the rows: (x, y, weights). In the loss a row of
    the weight n counts as n rows; metrics count every row once. Several inputs are one tuple or
    mapping, which the model is given as it is: ((a, b), y). A batch may also be one mapping, of which
    `target` names the targets, and the others are the inputs by name; without it they are what is called
    label, labels, target, targets or y.

    `Data.arrays`, `Data.dataset`, `Data.table` and `Data.images` cut validation and test sets off one
    set. `scaler` and `target_scaler` are what was applied to inputs and targets; `predict` applies them
    again, and their inverse. `columns` is how a table became inputs, which `predict` does again, and
    `classes` has the names of the class numbers, where they have names.
    """

    train: Source
    validation: Source | None = None
    test: Source | None = None
    scaler: Scaler | None = None
    target_scaler: Scaler | None = None
    columns: Columns | None = None
    classes: tuple[str, ...] = ()
    target: str | None = None

    def __post_init__(self) -> None:
        check_target(self.target)
        for name in SPLITS:
            value = getattr(self, name)
            if value is not None or name == "train":
                source = as_set(value, name)
                if self.target is not None and isinstance(source, (DatasetSource, LoaderSource)):
                    source = dataclasses.replace(source, target=self.target)
                object.__setattr__(self, name, source)

    def __repr__(self) -> str:
        sets = {name: getattr(self, name) for name in SPLITS}
        return f"Data({', '.join(f'{k}={v!r}' for k, v in sets.items() if v is not None)})"

    @property
    def features(self) -> tuple[str, ...]:
        """The name of each column of the inputs, none where the data are not a table."""
        return () if self.columns is None else self.columns.names

    @classmethod
    def arrays(
        cls,
        x: Any,
        y: Any = None,
        *,
        weights: Any = None,
        validation: float | tuple[Any, ...] | None = None,
        test: float | tuple[Any, ...] | None = None,
        split: Split = "random",
        seed: int = 0,
        scale: Scaling | None = None,
        scale_targets: bool = False,
    ) -> Data:
        """Return the data of arrays or tensors `x` (rows, …) and `y` (rows, …), in memory.

        `y` None stands for `x` itself. `weights` (rows,) are numbers ≥ 0, by which rows count in the
        loss. `validation` and `test` are sets (x, y) or (x, y, weights) of their own or
        fractions of the rows, cut off by `split`: "random" under `seed`, "stratified" so that each
        class keeps its share, or "last", the last rows as they stand (validation before test). A
        fraction f leaves ⌊n·(1 − f)⌋ of n rows, computed as it is written in decimal: .3 of 90 rows
        are 27.

        `scale` fits a scaling of the input columns ("standard": mean 0, deviation 1; "min_max": 0
        to 1) on the training rows alone and applies it to all sets; `scale_targets` does so to
        real-valued targets.

        Raises:
            DataError: for empty sets, unequal lengths, NaN or infinity, and fractions that leave a set
                empty.

        >>> import numpy as np
        >>> x = np.arange(10.0).reshape(10, 1)
        >>> data = Data.arrays(x, np.arange(10), validation=0.2, split="last")
        >>> data.train.rows, data.validation.targets.tolist()
        (8, [8, 9])
        """
        rows, seed = as_arrays(x, x if y is None else y), checked_seed(seed)
        whole: Rows = rows if weights is None else weigh(rows, weights)
        given = {"validation": validation, "test": test}
        sets = {name: _explicit(part, name) for name, part in given_apart(given).items()}
        sets |= cut(whole, arrays_of(whole).targets, fractions_in(given), split, seed)
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
        target: str | None = None,
    ) -> Data:
        """Return the data of a torch data set; a fraction cuts a random part off it, under `seed`.

        `target` is the name of the targets where its items are mappings, as in `Data`.

        `cache` reads the items once and keeps them as tensors: batches are the same, bit by bit, and
        cost no reading. A set that draws random numbers when it is read is refused, since a cache would
        give the same draw in every epoch.

        Raises:
            DataError: where a fraction is asked of a data set without a length, and where a set cannot be
                cached: it draws, its items differ in shape, or it does not fit into memory.

        >>> class Squares(Dataset):
        ...     __len__ = lambda self: 10
        ...     __getitem__ = lambda self, k: (torch.tensor([float(k)]), k * k)
        >>> Data.dataset(Squares(), cache=True)
        Data(train=<10 rows: float32 (1,) -> int64 ()>)
        """
        source, seed = as_source(dataset), checked_seed(seed)
        parts: dict[str, Any] = {"train": dataset, "validation": validation, "test": test}
        fractions = {name: part for name, part in parts.items() if is_fraction(part)}
        if fractions:
            if source.rows is None:
                raise DataError(
                    "An iterable data set has no length to take a fraction of: give its "
                    "validation and test sets apart."
                )
            cuts = cut_rows(torch.arange(source.rows), fractions, seed)
            parts |= {name: Subset(dataset, rows.tolist()) for name, rows in cuts.items()}
        if cache:
            each = cls(parts["train"], parts["validation"], parts["test"], target=target)
            parts = {
                name: None if part is None else cached(each.split(name), name)
                for name, part in parts.items()
            }
        return cls(parts["train"], parts["validation"], parts["test"], target=target)

    @classmethod
    def table(
        cls,
        table: Any,
        target: str,
        *,
        features: Sequence[str] | None = None,
        categorical: Categorical = "auto",
        missing: Missing = "refuse",
        target_kind: TargetKind = "auto",
        validation: Any = None,
        test: Any = None,
        split: Split = "random",
        seed: int = 0,
        scale: Scaling | None = None,
        scale_targets: bool = False,
    ) -> Data:
        """Return the data of a table with named columns: a pandas.DataFrame, or a file .csv or .parquet.

        Numbers stay numbers and bools become 0 and 1. A column of categories becomes one column
        of zeros and ones for each category of the training rows; one that is not among them is zeros.

        Args:
            table: the rows. In a CSV, pandas takes empty fields, NA, None, null and the like for missing.
            target: the column to predict. Classes become the numbers 0, 1, … in the order of their names
                (`data.classes`), of shape (rows,); numbers stay, of shape (rows, 1).
            features: the columns to predict it from; None is all others.
            categorical: the columns that are categories; "auto" takes those of text.
            missing: "refuse" missing values, or "fill" them with the median of the training rows, of
                categories and bools with the most frequent one.
            target_kind: "class" or "number"; "auto" takes text, bools and the integers 0, 1,
                …, k − 1 with k ≤ 20 for classes, other numbers for numbers.
            validation: a table of its own, or a fraction of the rows.
            test: likewise.
            split: how fractions are cut off, as in `Data.arrays`.
            seed: what a random cut is drawn from.
            scale: a scaling of the columns of numbers, as in `Data.arrays`; zeros and ones stay.
            scale_targets: whether to scale a target of numbers likewise.

        Raises:
            DataError: a column is missing, has gaps, or holds what is neither number nor category: dates,
                names, objects. The message names it.
            MissingExtraError: pandas, or for Parquet pyarrow, is not installed.

        >>> import pandas as pd
        >>> flats = pd.DataFrame(
        ...     {"rooms": [1, 2, 3], "town": ["Ulm", "Bonn", "Ulm"], "rent": [4.0, 6.0, 9.0]}
        ... )
        >>> data = Data.table(flats, "rent")
        >>> data.features, data.train.inputs[:2].tolist()
        (('rooms', 'town=Bonn', 'town=Ulm'), [[1.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
        """
        frame, seed = as_frame(table), checked_seed(seed)
        names = features_of(frame, target, features, categorical)
        y, classes = target_of(frame, target, target_kind)
        given = {"validation": validation, "test": test}
        whole = ArraySource(torch.arange(len(frame), device="cpu"), torch.from_numpy(y))
        rows = cut(whole, arrays_of(whole).targets, fractions_in(given), split, seed)
        columns = Columns.fitted(
            frame.iloc[rows["train"].inputs.numpy()], names, categorical, missing
        )
        sets = {
            name: as_arrays(columns.encode(frame.iloc[part.inputs.numpy()]), part.targets, name)
            for name, part in rows.items()
        }
        for name, part in given_apart(given).items():
            other = as_frame(part, f"{name} table")
            its_y, _ = target_of(other, target, target_kind if classes else "number", classes)
            sets[name] = as_arrays(columns.encode(other), its_y, name)
        return cls._of_sets(sets, scale, scale_targets, columns, classes)

    @classmethod
    def images(
        cls,
        folder: str | os.PathLike[str],
        *,
        size: tuple[int, int] | None = None,
        mode: Mode = "RGB",
        validation: float | str | os.PathLike[str] | None = None,
        test: float | str | os.PathLike[str] | None = None,
        split: Split = "stratified",
        seed: int = 0,
    ) -> Data:
        """Return the images of a folder that has one folder for each class, in memory.

        Args:
            folder: FOLDER/CLASS/IMAGE. Classes are numbered in the order of their names
                (`data.classes`).
            size: (height, width) to scale the images to; None if all have one size.
            mode: "RGB", or "L" for grey: 3 channels or 1.
            validation: a folder of its own with the same classes, or a fraction of the images.
            test: likewise.
            split: how fractions are cut off, as in `Data.arrays`.
            seed: what a random cut is drawn from.

        Returns:
            inputs (rows, channels, height, width), float32 from 0 to 1, and class numbers.

        Raises:
            DataError: a folder or file is missing or no image, sizes differ, or another folder has
                other classes.
            MissingExtraError: Pillow is not installed.
        """
        x, y, classes = read_image_folder(folder, mode, size)
        given: dict[str, Any] = {"validation": validation, "test": test}
        for name, part in given_apart(given).items():
            its_x, its_y, its_classes = read_image_folder(part, mode, size or x.shape[2:])
            if its_classes != classes:
                raise DataError(
                    f"The {name} folder has the classes {', '.join(its_classes)}, and the training folder "
                    f"{', '.join(classes)}."
                )
            given[name] = its_x.astype(np.float32) / 255, its_y
        data = cls.arrays(x.astype(np.float32) / 255, y, split=split, seed=seed, **given)
        return dataclasses.replace(data, classes=classes)

    @classmethod
    def _of_sets(
        cls,
        sets: dict[str, ArraySource],
        scale: Scaling | None,
        scale_targets: bool,
        columns: Columns,
        classes: tuple[str, ...],
    ) -> Data:
        """Return the data of the sets of a table; columns of zeros and ones are not scaled."""
        scaler = None if scale is None else _fit(scale, sets["train"].inputs)
        if scaler is not None:
            is_number = torch.from_numpy(columns.is_number)
            scaler = Scaler(
                torch.where(is_number, scaler.shift, 0.0), torch.where(is_number, scaler.scale, 1.0)
            )
        target_scaler = _fit_targets(scale or "standard", sets["train"]) if scale_targets else None
        done = {name: _scaled(part, scaler, target_scaler) for name, part in sets.items()}
        others = (done.get("validation"), done.get("test"))
        return cls(done["train"], *others, scaler, target_scaler, columns, classes)

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


def _explicit(part: Any, name: str) -> Rows:
    source = as_set(part, name)
    if not isinstance(source, (ArraySource, WeightedSource)):
        raise DataError(
            f"With arrays, the {name} set must be a pair (x, y) of arrays or a fraction."
        )
    return source


def _check_shapes(sets: dict[str, Rows]) -> None:
    train = arrays_of(sets["train"])
    for name, rows in sets.items():
        part = arrays_of(rows)
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
        raise DataError(f"scale must be 'standard' or 'min_max'; got {scale!r}.")
    return fits[scale](values)


def _fit_targets(scale: Scaling, rows: Rows) -> Scaler:
    train = arrays_of(rows)
    if not train.targets.is_floating_point():
        raise DataError(
            "scale_targets is for real-valued targets; these are integers (class numbers)."
        )
    return _fit(scale, train.targets)


def _scaled(source: Rows, inputs: Scaler | None, targets: Scaler | None) -> Rows:
    if isinstance(source, WeightedSource):
        arrays = arrays_of(_scaled(source.arrays, inputs, targets))
        return WeightedSource(arrays, source.weights)
    return ArraySource(
        source.inputs if inputs is None else inputs(source.inputs),
        source.targets if targets is None else targets(source.targets),
    )
