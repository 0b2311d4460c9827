"""Encodings of raw columns: one-hot labels, and scalings that are fitted on one set and applied to
others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import DataError

Columns = TypeVar("Columns", np.ndarray, Tensor)


@dataclass(frozen=True)
class Scaler:
    """An affine scaling of columns, z = (x − shift) / scale, with numbers fitted on one set.

    Fit it on the training set only: numbers taken from validation or test rows leak them into
    training. A column that is constant in the fitted set keeps its scale.

    >>> scaler = Scaler.standard(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    >>> scaler(torch.tensor([[5.0, 6.0]]))
    tensor([[3., 1.]], dtype=torch.float64)
    """

    shift: Tensor
    scale: Tensor

    @classmethod
    def standard(cls, x: np.ndarray | Tensor) -> Scaler:
        """Fit mean 0 and standard deviation 1 (with division by the number of rows) per column."""
        values = _columns(x)
        return cls(values.mean(0), _nonzero(values.std(0, correction=0)))

    @classmethod
    def min_max(cls, x: np.ndarray | Tensor) -> Scaler:
        """Fit each column's minimum to 0 and its maximum to 1."""
        values = _columns(x)
        low = values.amin(0)
        return cls(low, _nonzero(values.amax(0) - low))

    def __call__(self, x: Columns) -> Columns:
        """Return the scaled `x`, in float64 and of the same kind (array or tensor)."""
        self._check(x)
        _refuse_complex(x)
        if isinstance(x, Tensor):
            return (x.double() - self.shift.to(x.device)) / self.scale.to(x.device)
        scaled: np.ndarray = (np.asarray(x, np.float64) - self.shift.numpy()) / self.scale.numpy()
        return scaled

    def inverse(self, z: Columns) -> Columns:
        """Return the values that scale to `z`."""
        self._check(z)
        if isinstance(z, Tensor):
            return z.double() * self.scale.to(z.device) + self.shift.to(z.device)
        values: np.ndarray = np.asarray(z, np.float64) * self.scale.numpy() + self.shift.numpy()
        return values

    def _check(self, x: np.ndarray | Tensor) -> None:
        if tuple(x.shape[1:]) != tuple(self.shift.shape):
            raise DataError(
                f"This scaling was fitted on rows of shape {tuple(self.shift.shape)}; "
                f"got rows of shape {tuple(x.shape[1:])}."
            )


def standardize(x: Columns) -> Columns:
    """Return `x` with mean 0 and standard deviation 1 per column; `Scaler.standard` keeps the
    numbers for other sets.
    """
    return Scaler.standard(x)(x)


def min_max_scale(x: Columns) -> Columns:
    """Return `x` with each column from 0 to 1; `Scaler.min_max` keeps the numbers."""
    return Scaler.min_max(x)(x)


def one_hot(labels: Columns, classes: int | None = None) -> Columns:
    """Return one row of zeros and a single one for each class number, in the default float dtype.

    `classes` defaults to the largest label + 1. Raises DataError for labels that are not whole
    numbers from 0 to classes − 1.

    >>> one_hot(np.array([0, 2])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    numbers = torch.as_tensor(labels)
    if not numbers.numel():
        raise DataError("one_hot got no labels.")
    whole = numbers.long()
    if not torch.equal(whole.to(numbers.dtype), numbers):
        raise DataError("one_hot expects integers as labels.")
    count = int(whole.max()) + 1 if classes is None else classes
    if int(whole.min()) < 0 or int(whole.max()) >= count:
        raise DataError(
            f"one_hot expects labels from 0 to {count - 1}; got {int(whole.min())} to "
            f"{int(whole.max())}."
        )
    rows = torch.nn.functional.one_hot(whole, count).to(torch.get_default_dtype())
    return rows if isinstance(labels, Tensor) else rows.numpy()


def _refuse_complex(x: np.ndarray | Tensor) -> None:
    if x.is_complex() if isinstance(x, Tensor) else np.iscomplexobj(x):
        raise DataError(
            "A scaling is of real numbers; these are complex. Scale real and imaginary parts as "
            "columns: np.stack([x.real, x.imag], -1)."
        )


def _columns(x: np.ndarray | Tensor) -> Tensor:
    _refuse_complex(x)
    values = torch.as_tensor(x).detach().double()
    if not values.numel():
        raise DataError("A scaling cannot be fitted on an empty set.")
    return values


def _nonzero(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))
