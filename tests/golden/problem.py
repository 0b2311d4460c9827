"""The problem that every library steps on: float64, no random numbers, NumPy alone.

    g_t = h·(w − c) + s·cos(0.9·t + i)/2        for element i = 1, 2, … of a tensor of scale s

The second term moves, so that gradients change their sign and momentum, maxima and masks matter. The scales
make the norm of a gradient smaller than one in the first tensor and larger than one in the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHAPES: tuple[tuple[int, ...], ...] = ((4,), (3, 2), (2, 2, 1, 2))
SCALES = (0.25, 1.0, 3.0)
STEPS = 20
KEPT = (1, 2, 5, 10, STEPS)
"""The steps after which the point is kept."""
SCHEDULES = ("constant", "changing")


def _indices() -> list[Array]:
    return [np.arange(1.0, math.prod(shape) + 1).reshape(shape) for shape in SHAPES]


def start() -> list[Array]:
    """The point where every run starts."""
    return [1.5 * np.sin(2.1 * i + k) for k, i in enumerate(_indices())]


def gradient(t: int, point: Sequence[Array]) -> list[Array]:
    """The gradient of step t, counted from 1, at a point."""
    return [
        scale
        * (
            (1.0 + 0.5 * np.sin(0.7 * i + k)) * (w - 0.5 * np.cos(1.3 * i + k))
            + 0.5 * np.cos(0.9 * t + i)
        )
        for k, (i, w, scale) in enumerate(zip(_indices(), point, SCALES, strict=True))
    ]


def rate(t: int, lr: float, schedule: str) -> float:
    """The learning rate of step t: lr, or lr times 0.4 to 1.6, starting at lr."""
    return lr if schedule == "constant" else lr * (1.0 + 0.6 * math.sin(0.9 * (t - 1)))


def flat(point: Sequence[Array]) -> list[float]:
    """All elements of a point in one list, tensor by tensor."""
    return [float(x) for tensor in point for x in np.asarray(tensor, dtype=np.float64).ravel()]
