"""Diabetes progression, embedded in scikit-learn: 442 patients, ten measurements; linear
regression.
"""

from __future__ import annotations

from torch import nn

from thalweg.errors import MissingExtraError
from thalweg.objective import L2, Cost
from thalweg.tasks.data import Data
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task


def diabetes(weight_decay: float = 1e-2) -> Task:
    """Diabetes progression (scikit-learn): linear regression with weight decay, convex.

    J = (1/m) Σ ½(y − xᵀw − b)² + λ‖w‖², columns and targets scaled to mean 0 and deviation 1 on the
    training rows; the bias is not penalised. Random split, 20 % for validation and 10 % for
    testing. Source: B. Efron et al., Least Angle Regression, Annals of Statistics 32, 2004.
    """
    try:
        from sklearn.datasets import load_diabetes
    except ImportError:
        raise MissingExtraError("scikit-learn", "The diabetes task") from None
    x, y = load_diabetes(return_X_y=True, scaled=False)
    data = Data.arrays(
        x, y.reshape(-1, 1), validation=0.2, test=0.1, scale="standard", scale_targets=True
    )
    return Task(
        data=data,
        cost=Cost("half_mse", metrics=["mse", "r2"], penalty=L2(weight_decay)),
        model=lambda: nn.Linear(10, 1),
        name="diabetes",
        target=Target("loss", 0.25),
        description="Diabetes progression, linear regression with weight decay",
    )
