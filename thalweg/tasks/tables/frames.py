"""Tables as pandas' frames: from files, and checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thalweg.errors import DataError, MissingExtraError, suggest

Frame = Any
"""A pandas.DataFrame; pandas is optional."""
ENDINGS = (".csv", ".parquet")


def as_frame(table: Any, what: str = "table") -> Frame:
    """Return a table as a frame whose columns have names of their own, as text.

    Args:
        table: a pandas.DataFrame, or the path of a file .csv or .parquet.
        what: its name, for errors.

    Raises:
        DataError: the file is missing, damaged or of another kind, or has no rows or two columns of one
            name.
        MissingExtraError: pandas, or for Parquet pyarrow, is not installed.
    """
    pandas = _pandas()
    if isinstance(table, (str, os.PathLike)):
        path = Path(table).expanduser()
        frame, what = _read(pandas, path), str(path)
    elif isinstance(table, pandas.DataFrame):
        frame = table
    else:
        raise DataError(
            f"The {what} must be a pandas.DataFrame or the path of a file {' or '.join(ENDINGS)}; got "
            f"{type(table).__name__}."
        )
    names = [str(name).strip() for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{_start(what)} has two columns {twice[0]!r}: give each a name of its own."
        )
    if not len(frame):
        raise DataError(f"{_start(what)} has no rows.")
    return frame.set_axis(names, axis=1)


def column(frame: Frame, name: str) -> Any:
    """Return a column by its name; DataError where there is none."""
    check_names(frame, [name])
    return frame[name]


def check_names(frame: Frame, names: Sequence[str]) -> None:
    """Refuse a frame that lacks some of these columns."""
    known = list(frame.columns)
    lacking = [name for name in names if name not in known]
    if not lacking:
        return
    hint = suggest(lacking[0], known) if len(lacking) == 1 else ""
    raise DataError(
        f"The table has no column {', '.join(map(repr, lacking))}.{hint} It has: {_some(known)}."
    )


def _read(pandas: Any, path: Path) -> Frame:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(f"A table must be a file {' or '.join(ENDINGS)}; got {path}.")
    if not path.is_file():  # a pipe would be waited for
        raise DataError(f"There is no file {path}.")
    try:
        if ending == ".csv":
            return pandas.read_csv(path, skipinitialspace=True)
        return pandas.read_parquet(path)
    except ImportError:
        raise MissingExtraError("pyarrow", "Reading Parquet", "parquet") from None
    # pandas and pyarrow raise errors of their own, of many kinds
    except Exception as error:
        kind = "CSV" if ending == ".csv" else "Parquet"
        raise DataError(f"{path} cannot be read as {kind}: {str(error).strip()}") from error


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("pandas", "A table with named columns", "data") from None
    return pandas


def _start(what: str) -> str:
    return what if os.sep in what or "." in what else f"The {what}"


def _some(names: Sequence[str], most: int = 20) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
