"""Arrays of any kind as tensors: the right numbers, or an error that says what is in the way."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import DataError, sentence

_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.int64}
"""Dtypes that few of PyTorch's functions know, and those that hold their numbers."""


def as_tensor(value: Any, what: str) -> Tensor:
    """Return an array-like with one row per sample as a tensor; `what` names it in errors.

    Raises:
        DataError: for what is not numbers: text, objects, dates, missing or masked values, sparse or nested
            tensors; and for integers that int64 cannot hold.

    >>> as_tensor([[1.0], [2.0]], "inputs").shape
    torch.Size([2, 1])
    """
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, Tensor) for v in value):
        value = _stacked(value, what)
    tensor = _plain(value, what) if isinstance(value, Tensor) else _from_array(value, what)
    if tensor.ndim == 0:
        raise DataError(f"The {what} are a single number; expected one row per sample.")
    wider = _WIDER.get(tensor.dtype)
    if wider is None:
        return tensor
    whole = tensor.to(wider)
    if tensor.dtype == torch.uint64 and bool((whole < 0).any()):
        raise DataError(
            f"The {what} hold integers above 2⁶³ − 1, which int64 cannot hold. Make them real "
            "numbers with x.astype('float64'), or number them again."
        )
    return whole


def _plain(value: Tensor, what: str) -> Tensor:
    if value.is_nested or value.layout != torch.strided:
        kind = "nested" if value.is_nested else "sparse"
        dense = "torch.nested.to_padded_tensor(x, 0.0)" if value.is_nested else "x.to_dense()"
        raise DataError(f"The {what} are a {kind} tensor, which has no rows to draw: give {dense}.")
    return value.detach()


def _stacked(values: Any, what: str) -> Tensor:
    try:
        return torch.stack([value.detach() for value in values])
    except RuntimeError as error:
        raise DataError(f"The {what} are tensors of different shapes: {error}") from None


def _from_array(value: Any, what: str) -> Tensor:
    _check_mask(value, what)
    if hasattr(value, "todense") and hasattr(value, "toarray"):
        raise DataError(
            f"The {what} are a sparse matrix ({type(value).__name__}): give its dense form, "
            "x.toarray()."
        )
    try:
        array = np.asarray(value, order="C")
        if array.dtype.kind == "O":
            array = _numbers(array, what)
        elif array.dtype in (np.longdouble, np.clongdouble):  # wider than any tensor
            array = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
        if not array.dtype.isnative:  # of a file written on another kind of machine
            array = array.astype(array.dtype.newbyteorder("="))
        # A copy where NumPy forbids writing, since a tensor cannot promise not to.
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except DataError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        kind = getattr(value, "dtype", type(value).__name__)
        raise DataError(_refusal(kind, what, error)) from None


def _check_mask(value: Any, what: str) -> None:
    """Refuse arrays with masked entries, also in a list of rows: what is behind the mask is not a datum."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    for row, part in enumerate(parts):
        if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):
            mask: Any = np.ma.getmaskarray(part)
            if part is value and mask.ndim:
                rows = mask.reshape(len(mask), -1).any(1)
                row, where = int(rows.argmax()), f"in {int(rows.sum())} of {len(rows)} rows, first "
            else:
                where = ""
            raise DataError(
                f"The {what} are masked {where}in row {row}: what lies behind a mask is not a number to "
                "learn from. Fill the gaps with x.filled(…), or leave these rows out."
            )


def _numbers(array: np.ndarray, what: str) -> np.ndarray:
    """Return an array of objects that are all numbers as an array of numbers (tables with columns of
    several types come as such); refuse missing values.
    """
    flat = array.ravel().tolist()
    gaps = [k for k, each in enumerate(flat) if each is None or str(each) in ("<NA>", "NaT")]
    if gaps:
        row = gaps[0] // max(1, len(flat) // len(array)) if array.ndim else 0
        raise DataError(
            f"The {what} hold missing values ({flat[gaps[0]]}), {len(gaps)} of them, first in row "
            f"{row}. Remove these rows or fill the gaps before training."
        )
    if array.ndim and all(isinstance(each, (numbers.Real, np.bool_)) for each in flat):
        plain = np.array(flat).reshape(array.shape)
        if plain.dtype.kind in "biuf":
            return plain
    return array


def _refusal(kind: Any, what: str, error: Exception) -> str:
    letter = getattr(kind, "kind", "")
    if letter in ("U", "O", "S", "T") and "targets" in what:
        return (
            f"The {what} are not numbers but text or objects ({kind}). Number the classes: "
            "names, y = np.unique(y, return_inverse=True)."
        )
    advice = ""
    if letter in ("M", "m"):
        advice = " Turn times into numbers: (x - x.min()) / np.timedelta64(1, 'D')."
    elif letter == "V" and getattr(kind, "names", None):
        advice = " Put the fields side by side: np.stack([x[name] for name in x.dtype.names], 1)."
    elif letter in ("O", "U", "S"):
        advice = " Turn it into numbers column by column, then x.astype('float32')."
    return f"The {what} are not an array of numbers ({kind}): {sentence(error)}{advice}"
