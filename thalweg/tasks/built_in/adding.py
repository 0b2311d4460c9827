"""The adding problem: sequences with a long-range dependence."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from thalweg.objective import Cost
from thalweg.tasks.data import Data
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.whole import whole_number

_ROWS, _VALIDATION = 2560, 512


class LastStep(nn.Module):
    """An LSTM over sequences (rows, length, features), and a linear layer on its last state."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, batch_first=True)
        self.output = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return one number for each sequence, of shape (rows, 1)."""
        states, _ = self.lstm(x)
        y: Tensor = self.output(states[:, -1])
        return y


@built_in(
    target=Target("loss", 0.01),
    seconds=2.0,
    data_hash="0529ae8e9ee0f7e4bb87f4c271fc9b76c0a203a0982ad48f547561d269d2713d",
)
def adding(length: int = 30) -> Task:
    """The adding problem: an LSTM sums two marked numbers of 30.

    Each step of a sequence is (value, mark): values are uniform in [0, 1], one mark stands in the
    first half, one in the second, and the target is the sum of the two marked values. Answering 1
    always has an error of 1/6. 30 epochs in batches of 128 are 600 steps; Adam at lr = 0.03 is
    there after some 300. Source: S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural
    Computation 9, 1997; in this form Q. Le, N. Jaitly, G. Hinton, A simple way to initialize
    recurrent networks of rectified linear units, 2015.
    """
    whole_number("length", length, 2)
    rng = np.random.Generator(np.random.PCG64(0))
    rows = _ROWS + _VALIDATION
    values = rng.random((rows, length))
    middle = length // 2
    first = (rng.random(rows) * middle).astype("int64")
    second = middle + (rng.random(rows) * (length - middle)).astype("int64")
    marks = np.zeros((rows, length))
    everyone = np.arange(rows)
    marks[everyone, first] = marks[everyone, second] = 1
    x = np.stack([values, marks], axis=2).astype("float32")
    y = (values[everyone, first] + values[everyone, second]).astype("float32").reshape(-1, 1)
    return Task(
        data=Data.arrays(x[:_ROWS], y[:_ROWS], validation=(x[_ROWS:], y[_ROWS:])),
        cost=Cost("mse"),
        model=lambda: LastStep(2, 32),
        description=f"The adding problem over {length} steps, LSTM",
    )
