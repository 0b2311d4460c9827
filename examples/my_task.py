"""A task of your own, for the command line.

    thalweg train examples/my_task.py --optimizer adam --lr 0.01
    thalweg race examples/my_task.py

The function named `task` says what is to be learned: data, cost, model, and the target that a race counts
the steps to.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from thalweg import Cost, Data, Target, Task


def task() -> Task:
    """Two interleaved spirals: a plane that no straight line divides."""
    rng = np.random.default_rng(0)
    angle = np.sqrt(rng.uniform(0.05, 1, size=1000)) * 2 * np.pi
    side = rng.integers(0, 2, size=1000)
    radius = angle * (2 * side - 1)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1) / 6
    x += rng.normal(0, 0.02, size=x.shape)
    return Task(
        data=Data.arrays(x.astype("float32"), side, validation=0.2, test=0.2),
        cost=Cost("cross_entropy", metrics="accuracy"),
        model=lambda: nn.Sequential(
            nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2)
        ),
        name="spirals",
        target=Target("accuracy", 0.97),
    )
