"""Rows of numbers in files: NumPy's .npz and .npy, and CSV. Nothing in them is unpickled."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.errors import DataError, sentence, suggest
from thalweg.files import write_bytes

ENDINGS = (".npz", ".npy", ".csv")
Rows = np.ndarray[Any, Any]


def read_rows(
    path: Path, *, columns: Sequence[str] | None = None, array: str | None = None
) -> Rows:
    """Return the rows of a file, by its ending.

    Args:
        path: a file .npz, .npy or .csv.
        columns: of a CSV, the names of the columns to read; None reads all.
        array: of a .npz, the array to read; None is `x`, or the only one.

    Raises:
        DataError: the file is missing, damaged or of another kind, or has no such column or array.
    """
    ending = path.suffix.lower()
    if columns is not None and ending != ".csv":
        raise DataError(f"Only a CSV has named columns; {path} is none.")
    if array is not None and ending != ".npz":
        raise DataError(f"Only a .npz has named arrays; {path} is none.")
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    if ending == ".csv":
        return _from_csv(path, columns)
    if ending not in (".npz", ".npy"):
        raise DataError(f"The rows to predict must be in a file .npz, .npy or .csv; got {path}.")
    try:
        loaded = np.load(path, allow_pickle=False)
        rows = loaded if isinstance(loaded, np.ndarray) else _array_in(loaded, path, array)
    except DataError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        # NumPy takes what it does not know for a pickle, and tells how to load it unsafely
        said = "" if "pickle" in str(error) else f" ({error})"
        raise DataError(
            f"{path} cannot be read as arrays of numbers that numpy.save or numpy.savez wrote{said}."
        ) from error
    if rows.dtype.kind not in "biuf":
        raise DataError(f"{path} holds {rows.dtype}, and rows are numbers.")
    return np.asarray(rows)


def rows_as_csv(rows: Rows) -> str:
    """Return rows as lines of numbers or text with commas; the axes after the first lie side by side.

    >>> rows_as_csv(np.array([[0.5, 1.0], [2.0, 3.0]]))
    '0.5,1.0\\n2.0,3.0\\n'
    """
    flat = rows.reshape(len(rows), -1)
    if rows.dtype.kind == "U":
        held = io.StringIO()
        csv.writer(held, lineterminator="\n").writerows(flat.tolist())
        return held.getvalue()
    return "".join(",".join(map(repr, row)) + "\n" for row in flat.tolist())


def write_rows(path: Path, rows: Rows) -> None:
    """Write rows by the ending of the file: .npz (as `predictions`), .npy or .csv; whole or not at all."""
    if path.suffix.lower() == ".csv":
        write_bytes(path, rows_as_csv(rows).encode())
        return
    held = io.BytesIO()
    if path.suffix.lower() == ".npz":
        np.savez(held, predictions=rows)
    else:
        np.save(held, rows, allow_pickle=False)
    write_bytes(path, held.getvalue())


def _array_in(loaded: Any, path: Path, name: str | None) -> Rows:
    with loaded:
        names = list(loaded.files)
        wanted = name or ("x" if "x" in names else names[0] if len(names) == 1 else None)
        if wanted not in names:
            hint = suggest(wanted or "x", names)
            raise DataError(
                f"{path} has no array {wanted or 'x'!r}.{hint} It has: {', '.join(names) or 'none'}."
            )
        return np.asarray(loaded[wanted])


def _from_csv(path: Path, columns: Sequence[str] | None) -> Rows:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    if not lines:
        raise DataError(f"{path} has no rows.")
    head = [name.strip() for name in lines[0]]
    has_head = not all(map(_is_number, head))
    if columns is not None and not has_head:
        raise DataError(f"{path} has no line of names, so no column can be called by one.")
    places = range(len(head)) if columns is None else [_place(path, head, c) for c in columns]
    rows = []
    for number, line in enumerate(lines[has_head:], start=1 + has_head):
        if len(line) != len(head):
            raise DataError(f"{path}, row {number}: expected {len(head)} fields, got {len(line)}.")
        try:
            rows.append([float(line[place]) for place in places])
        except ValueError as error:
            raise DataError(f"{path}, row {number}: {sentence(error)}") from error
    if not rows:
        raise DataError(f"{path} has names of columns and no rows.")
    return np.array(rows)


def _place(path: Path, head: Sequence[str], column: str) -> int:
    if column not in head:
        raise DataError(
            f"{path} has no column {column!r}.{suggest(column, head)} It has: {', '.join(head)}."
        )
    return head.index(column)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
