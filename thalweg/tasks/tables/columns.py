"""The columns of a table as inputs and targets, as the training rows have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from thalweg.errors import DataError
from thalweg.tasks.tables.column import FEW, Missing, TableColumn, in_order, kind_of, label_of
from thalweg.tasks.tables.frames import Frame, as_frame, check_names, column

Categorical = Literal["auto"] | Sequence[str]
TargetKind = Literal["auto", "class", "number"]


@dataclass(frozen=True)
class Columns:
    """The features of a table in order, found by name, so that another table may have them in any order
    and others beside them.
    """

    features: tuple[TableColumn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each column of the inputs; a category's is 'column=category'."""
        return tuple(name for feature in self.features for name in feature.names)

    @property
    def is_number(self) -> np.ndarray:
        """Which columns of the inputs are numbers, and not zeros and ones."""
        return np.array([f.kind == "number" for f in self.features for _ in f.names])

    @classmethod
    def fitted(
        cls,
        frame: Frame,
        features: Sequence[str],
        categorical: Categorical = "auto",
        missing: Missing = "refuse",
    ) -> Columns:
        """Return the columns as the training rows `frame` have them."""
        if missing not in ("refuse", "fill"):
            raise DataError(f"missing must be 'refuse' or 'fill'; got {missing!r}.")
        found = []
        for name in features:
            series = column(frame, name)
            kind = kind_of(series, name, is_categorical(name, categorical))
            found.append(TableColumn.fitted(series, name, kind, missing))
        return cls(tuple(found))

    def encode(self, table: Any) -> np.ndarray:
        """Return the rows of a table as inputs (rows, columns), float64.

        Args:
            table: a pandas.DataFrame, or the path of a file .csv or .parquet.

        Raises:
            DataError: a column is not there, holds values of another kind, or has gaps that nothing fills.
        """
        frame = as_frame(table)
        check_names(frame, [feature.name for feature in self.features])
        return np.concatenate([f.encode(frame[f.name]) for f in self.features], 1)


def is_categorical(name: str, categorical: Categorical) -> bool | None:
    """Return whether a column is said to be one of categories; None if its values are to tell."""
    if categorical == "auto":
        return None
    if isinstance(categorical, str):
        raise DataError(
            f"categorical must be 'auto' or a list of names of columns; got {categorical!r}."
        )
    return name in categorical


def features_of(
    frame: Frame, target: str, features: Sequence[str] | None, categorical: Categorical
) -> list[str]:
    """Return the names of the features: all but the target where none are given."""
    check_names(frame, [target])
    if features is not None:
        if isinstance(features, str) or not features:
            raise DataError(f"features must be a list of names of columns; got {features!r}.")
        check_names(frame, features)
        if target in features:
            raise DataError(f"The target {target!r} is among the features: it would be given away.")
    if categorical != "auto" and not isinstance(categorical, str):
        check_names(frame, list(categorical))
    names = list(features) if features is not None else [n for n in frame.columns if n != target]
    if not names:
        raise DataError(f"The table has no column other than the target {target!r} to learn from.")
    return names


def target_of(
    frame: Frame, name: str, kind: TargetKind = "auto", classes: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the targets with the names of their classes: class numbers (rows,), or numbers (rows, 1) and
    no names.

    `classes` are those of the training table, where the frame is another one.
    """
    series = column(frame, name)
    gaps = series.isna().to_numpy(dtype=bool)
    if gaps.any():
        raise DataError(
            f"The target {name!r} is missing in {int(gaps.sum())} of {len(gaps)} rows, first in row "
            f"{int(gaps.argmax())} (counted from 0). Leave these rows out: "
            f"frame.dropna(subset=[{name!r}])."
        )
    if kind not in ("auto", "class", "number"):
        raise DataError(f"target_kind must be 'auto', 'class' or 'number'; got {kind!r}.")
    if not classes and not _are_classes(series, name, kind):
        return TableColumn(name, "number").encode(series), ()
    labels = [label_of(value) for value in series.tolist()]
    known = tuple(classes or in_order(set(labels)))
    unknown = in_order(set(labels) - set(known))
    if unknown:
        raise DataError(
            f"The target {name!r} has the class {unknown[0]!r}, which the training table has not; it has: "
            f"{', '.join(known)}."
        )
    numbered = {label: number for number, label in enumerate(known)}
    return np.array([numbered[label] for label in labels], np.int64), known


def _are_classes(series: Any, name: str, kind: TargetKind) -> bool:
    """Whether targets are classes: as said, or text, bools and the numbers 0, 1, …, k − 1."""
    if kind != "auto":
        return kind == "class"
    if kind_of(series, name, None) != "number":
        return True
    found = set(series.tolist())
    return series.dtype.kind in "iu" and len(found) <= FEW and found == set(range(len(found)))
