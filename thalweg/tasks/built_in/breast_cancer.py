"""Breast cancer, embedded in scikit-learn: 569 tumours, thirty measurements; logistic regression."""

from __future__ import annotations

from torch import nn

from thalweg.errors import MissingExtraError
from thalweg.objective import L2, Cost
from thalweg.tasks.data import Data
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task


@built_in(
    target=Target("loss", 0.06),
    seconds=0.05,
    data_hash="67ed12775d6270bf85ed3f5ad97241d7687f3f305aec164c80906eeac21e43e1",
)
def breast_cancer(weight_decay: float = 1e-3) -> Task:
    """Breast cancer (scikit-learn): logistic regression with weight decay, convex.

    J = mean cross entropy of softmax(Wx + b) + λ‖W‖²; columns scaled to mean 0 and deviation 1 on
    the training rows. A stratified split keeps about 20 % for validation and 10 % for testing. 30
    epochs in batches of 128 are 120 steps; Adam at lr = 0.1 reaches a validation loss of 0.06 after
    some 16. Source: W. Street, W. Wolberg, O. Mangasarian, Nuclear feature extraction for breast
    tumor diagnosis, 1993.
    """
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError:
        raise MissingExtraError("scikit-learn", "The breast cancer task") from None
    x, y = load_breast_cancer(return_X_y=True)
    data = Data.arrays(x, y, validation=0.2, test=0.1, split="stratified", scale="standard")
    return Task(
        data=data,
        cost=Cost("cross_entropy", metrics="accuracy", penalty=L2(weight_decay)),
        model=lambda: nn.Linear(30, 2),
        description="Breast cancer, logistic regression with weight decay",
    )
