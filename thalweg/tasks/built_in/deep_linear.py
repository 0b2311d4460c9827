"""A deep linear network: a convex problem, parametrized so that it is not convex."""

from __future__ import annotations

import itertools
import math

import numpy as np
from torch import nn

from thalweg.objective import Cost
from thalweg.tasks.data import Data
from thalweg.tasks.functions.deep_quadratic import sine_basis
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.whole import whole_number

_ROWS, _VALIDATION = 2560, 256


@built_in(
    target=Target("loss", 2e-3),
    seconds=0.2,
    data_hash="6c89e7f6f161fd1b3b88ec303b017bd8be8e24a707f181399bbe495587878c04",
)
def deep_linear(layers: int = 5, width: int = 16) -> Task:
    """Deep linear net: five 16 × 16 layers without activations learn a matrix of condition 10.

    y = A x with x uniform of mean 0 and variance 1; A = S diag(s) has singular values from 1 to 0.1
    and the sine transform S. The mean squared error of the product W₅W₄W₃W₂W₁ has plateaus where
    singular values wait for their turn. 30 epochs in batches of 128 are 600 steps; Adam at lr =
    0.03 reaches a validation loss of 0.002 after some 340. Source: A. Saxe, J. McClelland, S.
    Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks,
    ICLR 2014.
    """
    whole_number("layers", layers)
    whole_number("width", width, 2)
    draws = np.random.Generator(np.random.PCG64(0)).random((_ROWS + _VALIDATION, width))
    x = math.sqrt(12) * (draws - 0.5)
    y = x @ linear_map(width).T
    x, y = x.astype("float32"), y.astype("float32")
    return Task(
        data=Data.arrays(x[:_ROWS], y[:_ROWS], validation=(x[_ROWS:], y[_ROWS:])),
        cost=Cost("mse"),
        model=lambda: nn.Sequential(
            *(nn.Linear(m, n, bias=False) for m, n in itertools.pairwise([width] * (layers + 1)))
        ),
        description=f"A linear net of {layers} layers learns a matrix",
    )


def linear_map(width: int) -> np.ndarray:
    """Return the matrix A (width, width) to be learned: singular values 10^(−i/(width−1))."""
    return sine_basis(width) * np.logspace(0, -1, width)
