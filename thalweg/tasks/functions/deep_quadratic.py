"""A quadratic whose curvature is spread as in a deep network's loss."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.tasks.functions.function_task import BATCH, function_task, uniform_noise
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.whole import whole_number

_STEPS = 25  # in an epoch


@built_in(
    target=Target("loss", 1.0),
    seconds=0.2,
    data_hash="65614465c9a7cd52d5c2f23e5ef2ed5d818e7c168379a70781d2c77016d2f5ec",
)
def deep_quadratic(dimensions: int = 100, noise: float = 1.0) -> Task:
    """Deep quadratic: 100 dimensions, curvature as in a deep network, noisy.

    Each row is ½(θ − x)ᵀQ(θ − x) with its own x, less what does not depend on θ: ½θᵀQθ − xᵀQθ. Nine
    tenths of Q's eigenvalues lie between 0 and 1, the others between 30 and 60; its eigenvectors
    are those of a sine transform, so no coordinate stands apart. x is uniform with mean 0 and
    standard deviation `noise`. The start is drawn likewise, with deviation 1, under the run's seed;
    the minimum is 0. 30 epochs in batches of 128 are 750 steps; Adam at lr = 0.1 is there after
    some 170. Source: DeepOBS's `quadratic_deep`: F. Schneider, L. Balles, P. Hennig, ICLR 2019,
    after P. Chaudhari et al., Entropy-SGD, ICLR 2017.
    """
    whole_number("dimensions", dimensions, 10)
    matrix = curvature(dimensions)
    rows = uniform_noise(_STEPS * BATCH, dimensions, noise)
    tensor = torch.from_numpy(matrix)

    def value(point: Tensor) -> Tensor:
        return 0.5 * point @ (tensor.to(point) @ point)

    return function_task(
        "deep_quadratic",
        value,
        [0.0] * dimensions,
        noise=-rows @ matrix,
        spread=math.sqrt(3),
        description=f"A noisy quadratic in {dimensions} dimensions",
    )


def spectrum(dimensions: int) -> np.ndarray:
    """Return the eigenvalues of Q (dimensions,): nine tenths spaced evenly in (0, 1), the others in
    (30, 60).

    >>> spectrum(10).round(3).tolist()
    [0.056, 0.167, 0.278, 0.389, 0.5, 0.611, 0.722, 0.833, 0.944, 45.0]
    """
    large = dimensions // 10
    small = dimensions - large
    return np.concatenate(
        [(np.arange(small) + 0.5) / small, 30 + 30 * (np.arange(large) + 0.5) / large]
    )


def sine_basis(size: int) -> np.ndarray:
    """Return the matrix of the sine transform (size, size), orthogonal and symmetric:
    √(2/(n+1)) sin(π i j / (n+1)).
    """
    if size < 1:
        raise TaskError(f"A basis has at least one vector; got size={size}.")
    numbers = np.arange(1, size + 1)
    waves: np.ndarray = np.sin(np.pi / (size + 1) * np.outer(numbers, numbers))
    return math.sqrt(2 / (size + 1)) * waves


def curvature(dimensions: int) -> np.ndarray:
    """Return Q (dimensions, dimensions) = S diag(λ) S, with the sine transform S."""
    basis = sine_basis(dimensions)
    matrix: np.ndarray = (basis * spectrum(dimensions)) @ basis
    return matrix
