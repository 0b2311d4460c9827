"""Other models of the handwritten digits: logistic regression and a convolutional network."""

from __future__ import annotations

from torch import nn

from thalweg.tasks.digits import digits
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task


def digits_logistic() -> Task:
    """Handwritten digits (scikit-learn): logistic regression, convex, validation accuracy 96 %.

    Softmax of one linear layer, 64-10, on the data of `digits`. 30 epochs in batches of 128 are
    300 steps, about 0.1 s on one core; Adam at lr = 0.1 is there after some 50.
    """
    return digits().replace(
        model=lambda: nn.Linear(64, 10),
        name="digits_logistic",
        target=Target("accuracy", 0.96),
        description="Handwritten digits, logistic regression, to 96 % validation accuracy",
    )


def digits_cnn() -> Task:
    """Handwritten digits (scikit-learn): convolutional network, validation accuracy 97.5 %.

    Two 3 × 3 convolutions with 8 and 16 channels, each followed by ReLU, the second also by 2 × 2
    max pooling; then a linear layer 256-10. On the data of `digits`. 30 epochs in batches
    of 128 are 300 steps, about 1 s on one core; Adam at lr = 0.03 is there after some 60.
    """
    return digits().replace(
        model=_cnn,
        name="digits_cnn",
        target=Target("accuracy", 0.975),
        description="Handwritten digits, convolutional network, to 97.5 % validation accuracy",
    )


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )
