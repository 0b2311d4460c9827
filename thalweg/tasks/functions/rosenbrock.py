"""Rosenbrock's function in any number of dimensions."""

from __future__ import annotations

from torch import Tensor

from thalweg.tasks.functions.function_task import BATCH, function_task, uniform_noise
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.whole import whole_number

_STEPS = 100  # in an epoch


@built_in(
    target=Target("loss", 0.01),
    seconds=0.8,
    data_hash="461c7e1d916a1cad1e01f440df7e8615c94251547b6f55ae14dc317c601b8473",
)
def rosenbrock(dimensions: int = 10, noise: float = 0.0, spread: float = 0.1) -> Task:
    """Rosenbrock's function in 10 dimensions: a long bent valley.

    f(θ) = Σᵢ 100 (θᵢ₊₁ − θᵢ²)² + (1 − θᵢ)², with its minimum 0 at (1, …, 1); from four dimensions
    on a second one near (−1, 1, …, 1), of a value near 4. The start is (−1.2, 1, −1.2, …), each
    coordinate moved by up to `spread` under the run's seed. `noise` is the standard deviation of a
    row's noise on each coordinate of the gradient; a batch averages it. 30 epochs in batches of 128
    are 3,000 steps; Adam at lr = 0.3 is there after some 600.
    """
    whole_number("dimensions", dimensions, 2)
    return function_task(
        "rosenbrock",
        rosenbrock_value,
        [-1.2 if i % 2 == 0 else 1.0 for i in range(dimensions)],
        noise=uniform_noise(_STEPS * BATCH, dimensions, noise),
        spread=spread,
        description=f"Rosenbrock's function in {dimensions} dimensions",
    )


def rosenbrock_value(point: Tensor) -> Tensor:
    """Return Σᵢ 100 (θᵢ₊₁ − θᵢ²)² + (1 − θᵢ)².

    >>> import torch
    >>> rosenbrock_value(torch.tensor([-1.2, 1.0], dtype=torch.float64)).item()
    24.199999999999996
    """
    here, after = point[:-1], point[1:]
    return (100 * (after - here.square()).square() + (1 - here).square()).sum()
