"""Minimizing a function as a task: the model is a point, the rows are noise on its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.numeric import is_real
from thalweg.objective import Cost
from thalweg.tasks.data import Data
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task

BATCH = 128
"""Rows in a step, where the batch size is the usual one."""


class PointModel(nn.Module):
    """A point θ (dimensions,) as a model: for rows ξ of noise it gives f(θ) + ξᵀθ, of shape (rows,).

    `start` is where it begins, `spread` how far at most each coordinate is moved from there at
    random, drawn when the model is built.

    >>> model = PointModel(lambda p: p.square().sum(), [3.0, 4.0])
    >>> model(torch.tensor([[0.0, 0.0], [1.0, -1.0]])).tolist()
    [25.0, 24.0]
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], start: Sequence[float], spread: float = 0.0
    ) -> None:
        super().__init__()
        self.function = function
        point = _start(start)
        if not (is_real(spread) and 0 <= spread < math.inf):
            raise TaskError(f"spread must be a number ≥ 0; got {spread!r}.")
        if spread:
            point += spread * (2 * torch.rand_like(point) - 1)
        self.point = nn.Parameter(point)

    def forward(self, noise: Tensor) -> Tensor:
        """Return f(θ) + ξᵀθ for each row ξ of `noise`."""
        return self.function(self.point) + noise @ self.point


def _start(start: Any) -> Tensor:
    """Return the point where a function's minimization begins."""
    try:
        point = torch.tensor(start, dtype=torch.get_default_dtype())
    except (TypeError, ValueError, RuntimeError):
        point = torch.zeros(())
    if point.ndim != 1 or not len(point):
        raise TaskError(
            f"start must be a list of numbers, one for each dimension, such as [3.0, -2.0]; got {start!r}."
        )
    return point


def mean_value(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of the outputs: the loss where the model itself computes it."""
    return outputs.mean()


def function_task(
    name: str,
    function: Callable[[Tensor], Tensor],
    start: Sequence[float],
    *,
    noise: np.ndarray,
    goal: float | None = None,
    spread: float = 0.0,
    description: str = "",
) -> Task:
    """Return the task of minimizing `function`, from a tensor (dimensions,) to a scalar.

    J(θ) = mean over rows of f(θ) + ξᵀθ, so a batch's gradient is ∇f(θ) plus the mean of its ξ.
    `noise` (rows, dimensions) holds the ξ: `uniform_noise` draws some. Their mean is zero, so
    that all rows together are f itself; so is the validation set, a single row of zeros. `goal` is
    the target: a validation loss, which is f(θ).

    >>> noise = uniform_noise(256, 2, 0.0)
    >>> task = function_task("bowl", lambda p: p.square().sum(), [1.0, 1.0], noise=noise, goal=1e-3)
    >>> task.data.train.rows, task.target
    (256, Target(metric='loss', value=0.001))

    Raises:
        TaskError: `start` is not a list of numbers, or a row of `noise` has not one number for each of them.
    """
    dimensions = len(_start(start))
    if np.ndim(noise) != 2 or np.shape(noise)[1] != dimensions:
        raise TaskError(
            f"noise has a row of {dimensions} numbers, one for each coordinate of start, as "
            f"uniform_noise(rows, {dimensions}, deviation) gives; got the shape {np.shape(noise)}."
        )
    noise = np.asarray(noise)
    rows, still = noise.astype("float32"), np.zeros((1, noise.shape[1]), "float32")
    nothing = np.zeros(len(rows), "float32")
    data = Data.arrays(rows, nothing, validation=(still, nothing[:1]))
    return Task(
        data=data,
        cost=Cost(mean_value),
        model=lambda: PointModel(function, start, spread),
        name=name,
        target=None if goal is None else Target("loss", goal),
        description=description,
    )


def uniform_noise(rows: int, dimensions: int, deviation: float, seed: int = 0) -> np.ndarray:
    """Return noise (rows, dimensions), uniform with standard deviation `deviation`; its mean is
    zero, since each row comes with its opposite.

    >>> uniform_noise(4, 2, 2.0).round(2).tolist()
    [[0.95, -1.59], [-0.95, 1.59], [-3.18, -3.35], [3.18, 3.35]]
    """
    if not (is_real(deviation) and 0 <= deviation < math.inf):
        raise TaskError(f"noise must be a standard deviation, a number ≥ 0; got {deviation!r}.")
    if not deviation:
        return np.zeros((rows, dimensions))
    draws = np.random.Generator(np.random.PCG64(seed)).random((rows // 2, dimensions))
    half = deviation * math.sqrt(12) * (draws - 0.5)
    return np.stack([half, -half], axis=1).reshape(rows, dimensions)
