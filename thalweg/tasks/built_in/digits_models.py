"""Other models of the handwritten digits: logistic regression and a convolutional network."""

from __future__ import annotations

from torch import nn

from thalweg.tasks.built_in.digits import DATA_HASH, digits
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task


@built_in(
    target=Target("accuracy", 0.96),
    seconds=0.1,
    data_hash=DATA_HASH,
)
def digits_logistic() -> Task:
    """Handwritten digits (scikit-learn): logistic regression, convex.

    Softmax of one linear layer, 64-10, on the data of `digits`. 30 epochs in batches of 128 are 300
    steps; Adam at lr = 0.1 is there after some 50.
    """
    return digits().replace(
        model=lambda: nn.Linear(64, 10),
        description="Handwritten digits, logistic regression",
    )


@built_in(
    target=Target("accuracy", 0.975),
    seconds=2.0,
    data_hash=DATA_HASH,
)
def digits_cnn() -> Task:
    """Handwritten digits (scikit-learn): convolutional network.

    Two 3 × 3 convolutions with 8 and 16 channels, each followed by ReLU, the second also by 2 × 2
    max pooling; then a linear layer 256-10. On the data of `digits`. 30 epochs in batches of 128
    are 300 steps; Adam at lr = 0.03 is there after some 60.
    """
    return digits().replace(
        model=_cnn,
        description="Handwritten digits, convolutional network",
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
