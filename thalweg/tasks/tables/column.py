"""One column of a table as numbers: real numbers, bools, or categories as one-hot columns."""

from __future__ import annotations

import datetime
import decimal
import numbers
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from thalweg.errors import DataError

Kind = Literal["number", "truth", "category"]
Missing = Literal["refuse", "fill"]
Series = Any
"""A pandas.Series; pandas is optional."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]|$)")
FEW = 20
"""Text with no more different values than this is taken for categories in any case."""


@dataclass(frozen=True)
class TableColumn:
    """How a column becomes numbers; `categories` and `fill` are those of the training rows.

    A category is one of `categories`, each of which has a column of zeros and ones; another one is
    zeros in all of them. `fill` stands in for missing values; None refuses them.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    fill: float | str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of numbers that it becomes."""
        if self.kind != "category":
            return (self.name,)
        return tuple(f"{self.name}={category}" for category in self.categories)

    @classmethod
    def fitted(cls, series: Series, name: str, kind: Kind, missing: Missing) -> TableColumn:
        """Return the column of the training rows `series`, with their categories and what fills gaps."""
        known = series.dropna()
        if not len(known):
            raise DataError(
                f"Column {name!r} has no value in the training rows: leave it out of features."
            )
        fill: float | str | None = None
        if kind == "category":
            labels = [label_of(value) for value in known.tolist()]
            found = in_order(set(labels))
            if missing == "fill":
                fill = max(found, key=labels.count)  # of two as frequent the first in order
            return cls(name, kind, tuple(found), fill)
        if missing == "fill":
            values = _floats(known, name)
            median = float(np.median(values))
            fill = median if kind == "number" else float(median > 0.5)
        return cls(name, kind, (), fill)

    def encode(self, series: Series) -> np.ndarray:
        """Return the rows as numbers (rows, columns); DataError for gaps and for values of another kind."""
        gaps = series.isna().to_numpy(dtype=bool)
        if gaps.any() and self.fill is None:
            raise DataError(
                f"Column {self.name!r} has missing values in {int(gaps.sum())} of {len(gaps)} rows, first "
                f"in row {int(gaps.argmax())} (counted from 0). Fill them with the median or the most "
                'frequent value of the training rows by missing="fill", or leave out these rows or this '
                "column."
            )
        if self.kind == "category":
            return self._one_hot(series, gaps)
        values = np.empty(len(gaps))
        values[~gaps] = _floats(series[~gaps], self.name)
        if gaps.any():
            values[gaps] = self.fill
        return values[:, None]

    def _one_hot(self, series: Series, gaps: np.ndarray) -> np.ndarray:
        places = {category: place for place, category in enumerate(self.categories)}
        rows = np.zeros((len(gaps), len(places)))
        for row, (value, gap) in enumerate(zip(series.tolist(), gaps.tolist(), strict=True)):
            place = places.get(str(self.fill) if gap else label_of(value))
            if place is not None:
                rows[row, place] = 1.0
        return rows


def kind_of(series: Series, name: str, is_categorical: bool | None) -> Kind:
    """Return what a column holds; `is_categorical` None looks at its values.

    Raises:
        DataError: it holds dates or other objects, text that is to be no category, or text that is
            different in most rows, which are names and no categories.
    """
    if is_categorical:
        return "category"
    known = series.dropna()
    values = known.tolist() if series.dtype.kind in "OUTV" or _is_extension(series) else []
    _refuse_dates(series, values, name)
    if series.dtype.kind == "b" or (
        values and all(isinstance(v, (bool, np.bool_)) for v in values)
    ):
        return "truth"
    if series.dtype.kind in "iuf" and not _is_category(series):
        return "number"
    if values and all(isinstance(v, (numbers.Real, decimal.Decimal)) for v in values):
        return "category" if _is_category(series) else "number"
    if not values and len(known):
        raise DataError(
            f"Column {name!r} holds {series.dtype}, and columns are numbers or categories."
        )
    if not len(known):
        return "number"
    odd = next((v for v in values if not isinstance(v, (str, numbers.Real, np.bool_))), None)
    if odd is not None:
        raise DataError(
            f"Column {name!r} holds objects ({type(odd).__name__}): make numbers of them, or leave it out "
            "of features."
        )
    if is_categorical is False:
        raise DataError(
            f"Column {name!r} holds text (such as {values[0]!r}): name it in categorical=[…], or leave it "
            "out of features."
        )
    different = len(set(map(str, values)))
    if different > max(FEW, len(values) // 2):
        raise DataError(
            f"Column {name!r} holds {different} different texts in {len(values)} rows, which are names and "
            "no categories. Leave it out of features, or name it in categorical=[…] if you want as many "
            "inputs."
        )
    return "category"


def label_of(value: Any) -> str:
    """Return a category as text: the same for 1 and 1.0, as which a file with gaps is read.

    >>> label_of(1), label_of(1.0), label_of(1.5), label_of("north"), label_of(True)
    ('1', '1', '1.5', 'north', 'True')
    """
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, numbers.Real) and float(value).is_integer():
        return str(int(float(value))) if abs(float(value)) < 2**53 else str(value)
    return str(value)


def in_order(labels: Iterable[str]) -> list[str]:
    """Return categories in order: of their numbers where all are such, else of the text.

    >>> in_order(["10", "9"]), in_order(["10", "9", "all"])
    (['9', '10'], ['10', '9', 'all'])
    """
    given = sorted(labels)
    return sorted(given, key=float) if all(map(_is_number, given)) else given


def _floats(series: Series, name: str) -> np.ndarray:
    try:
        values: np.ndarray = series.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        bad = next(value for value in series.tolist() if not _is_number(value))
        raise DataError(
            f"Column {name!r} is one of numbers, and holds {bad!r} in row "
            f"{series.tolist().index(bad)} (counted from 0)."
        ) from None
    bad_rows = ~np.isfinite(values)
    if bad_rows.any():
        raise DataError(
            f"Column {name!r} holds infinite numbers in {int(bad_rows.sum())} of {len(values)} rows. Leave "
            "out these rows, or limit the values."
        )
    return values


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_extension(series: Series) -> bool:
    return not isinstance(series.dtype, np.dtype)


def _is_category(series: Series) -> bool:
    return str(series.dtype) == "category"


def _refuse_dates(series: Series, values: list[Any], name: str) -> None:
    is_time = series.dtype.kind in "mM" or any(
        isinstance(value, (datetime.date, datetime.time, datetime.timedelta)) for value in values
    )
    is_written = bool(values) and all(isinstance(v, str) and _DATE.match(v) for v in values)
    if is_time or is_written or "period" in str(series.dtype):
        first = f" (such as {values[0]!r})" if is_written else ""
        raise DataError(
            f"Column {name!r} holds dates or times{first}, which are not numbers yet. Make a column of what "
            f"matters of them, with t = pandas.to_datetime(frame[{name!r}]): t.dt.month, t.dt.dayofweek, or "
            "the days since the first, (t - t.min()).dt.days. Then leave it out of features."
        )
