"""A hash of a task's data that does not depend on the last bits of floating-point numbers."""

from __future__ import annotations

import hashlib

import numpy as np
from torch import Tensor

from thalweg.errors import DataError
from thalweg.tasks.data import SPLITS, Data
from thalweg.tasks.sources.source import ArraySource
from thalweg.tasks.sources.weighted import WeightedSource

GRID = 1e-4  # far above what the order of a sum changes, far below what matters


def data_hash(data: Data) -> str:
    """Return the SHA-256 of the training, validation and test sets, as hexadecimal digits.

    Real numbers count to the nearest ten-thousandth, so that the hash is the same on every machine.
    Raises DataError where a set does not lie in memory.

    >>> import numpy as np
    >>> x = np.arange(6.0).reshape(3, 2)
    >>> data_hash(Data.arrays(x)) == data_hash(Data.arrays(x + 1e-9))
    True
    >>> data_hash(Data.arrays(x)) == data_hash(Data.arrays(x[::-1]))
    False
    """
    digest = hashlib.sha256()
    for name in SPLITS:
        source = getattr(data, name)
        digest.update(name.encode())
        if source is None:
            continue
        weights = (source.weights,) if isinstance(source, WeightedSource) else ()
        source = source.arrays if isinstance(source, WeightedSource) else source
        if not isinstance(source, ArraySource):
            raise DataError(f"The {name} set does not lie in memory, so it has no hash.")
        for tensor in (source.inputs, source.targets, *weights):
            kind = "f" if tensor.is_floating_point() else "i"
            digest.update(f"{kind}{tuple(tensor.shape)}".encode())
            digest.update(_whole(tensor).astype("<i8").tobytes())
    return digest.hexdigest()


def _whole(tensor: Tensor) -> np.ndarray:
    if not tensor.is_floating_point():
        return tensor.numpy()
    # Closed formulas give values at the very middle between two points of a grid (pixels are
    # sixteenths): the shift keeps them away from there.
    return np.floor(tensor.double().numpy() / GRID + 0.3183).astype("int64")
