"""Diabetes progression, embedded in scikit-learn: 442 patients, ten measurements; linear
regression.
"""

from __future__ import annotations

from torch import nn

from thalweg.errors import MissingExtraError
from thalweg.objective import L2, Cost
from thalweg.tasks.data import Data
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task


@built_in(
    target=Target("loss", 0.25),
    seconds=0.05,
    data_hash="9233d80c85ae81a4264becca83a4afd1fa928701d6d1d7c046be77359c8f0dfc",
)
def diabetes(weight_decay: float = 1e-2) -> Task:
    """Diabetes progression (scikit-learn): linear regression with weight decay, convex.

    J = (1/m) Σ ½(y − xᵀw − b)² + λ‖w‖², columns and targets scaled to mean 0 and deviation 1 on the
    training rows; the bias is not penalized. Random split, 20 % for validation and 10 % for
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
        description="Diabetes progression, linear regression with weight decay",
    )
