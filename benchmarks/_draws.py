"""What healthy cases are drawn from: data, networks and optimizers, each at random by a generator."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _case import Case
from torch import Tensor, nn

from thalweg import Task
from thalweg.objective import Cost
from thalweg.tasks import Data, load_task, mlp

Rng = np.random.Generator
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
RATES = {
    "adam": (2e-3, 1e-2),
    "adamw": (2e-3, 1e-2),
    "rmsprop": (1e-3, 3e-3),
    "momentum": (0.02, 0.06),
    "sgd": (0.1, 0.2),
}
"""Optimizers with the range of their learning rates, within which the networks below learn."""


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Return a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def pick(rng: Rng, options: Sequence[Any]) -> Any:
    """Return one of the options."""
    return options[int(rng.integers(len(options)))]


def sets(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], kept: int) -> Data:
    """Return data of which the last rows are kept for validation."""
    x, y = x.astype("float32"), y.astype("int64" if y.dtype.kind in "iu" else "float32")
    return Data.arrays(x[:-kept], y[:-kept], validation=(x[-kept:], y[-kept:]))


@functools.cache
def _digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    data = load_task("digits").data
    train, kept = data.train, data.validation
    return train.inputs, train.targets, kept.inputs, kept.targets


def digits_data() -> Data:
    """Return the digits, pixels of mean 0 and deviation about 1."""
    x, y, kept, kept_y = _digits()
    mean, deviation = x.mean(0), x.std(0) + 0.1
    return Data(((x - mean) / deviation, y), validation=((kept - mean) / deviation, kept_y))


def blobs(rng: Rng) -> Data:
    """Return classes that are mixtures of three normal clouds each, which overlap a little."""
    features, classes = int(rng.integers(8, 17)), int(rng.integers(3, 8))
    centres = rng.standard_normal((classes, 3, features))
    y = rng.integers(classes, size=2000)
    x = centres[y, rng.integers(3, size=2000)] + 0.5 * rng.standard_normal((2000, features))
    return sets(x, y, 400)


def teacher(rng: Rng) -> Data:
    """Return the values of a random network of one hidden layer, of deviation 1, with little noise."""
    features, outputs = int(rng.integers(5, 13)), int(rng.integers(1, 4))
    x = rng.standard_normal((1800, features))
    hidden = np.tanh(x @ rng.standard_normal((features, 8)) / np.sqrt(features) * 1.5)
    y = hidden @ rng.standard_normal((8, outputs))
    y = (y - y.mean(0)) / y.std(0) + 0.05 * rng.standard_normal(y.shape)
    return sets(x, y, 400)


def widths(data: Data) -> tuple[int, int]:
    """Return the number of features, and of outputs: classes or columns."""
    x, y = data.train.inputs, data.train.targets
    return x.shape[-1], int(y.max()) + 1 if y.ndim == 1 else y.shape[1]


def task_of(data: Data, model: Callable[[], nn.Module], name: str) -> Task:
    """Return the task of learning classes or values."""
    is_classes = data.train.targets.ndim == 1
    cost = Cost("cross_entropy", metrics="accuracy") if is_classes else Cost("mse")
    return Task(data, cost, model, name=name)


def network(
    rng: Rng, data: Data, *, depth: Sequence[int] = (1, 2, 3), activation: str | None = None
) -> Task:
    """Return the task of a dense network on some data."""
    features, outputs = widths(data)
    hidden = [int(rng.integers(24, 97))] * int(pick(rng, depth))
    kind = ACTIVATIONS[activation or pick(rng, list(ACTIVATIONS))]
    return task_of(
        data, lambda: mlp([features, *hidden, outputs], kind), f"{kind.__name__} {hidden}"
    )


def classes(rng: Rng) -> Data:
    """Return digits or blobs."""
    return digits_data() if rng.random() < 0.5 else blobs(rng)


def any_data(rng: Rng) -> Data:
    """Return digits, blobs or the values of a teacher."""
    return pick(rng, (lambda: digits_data(), lambda: blobs(rng), lambda: teacher(rng)))()


def trained(
    rng: Rng, task: Task, optimizers: Sequence[str] = ("adam", "adamw", "momentum")
) -> Case:
    """Return a case with a drawn optimizer, learning rate and batch size: some 300 to 600 steps."""
    name = pick(rng, optimizers)
    batch = int(pick(rng, (32, 64)))
    steps = int(rng.integers(300, 500))
    rows = task.data.train.rows or 1000
    return Case(task, name, log_uniform(rng, *RATES[name]), -(-steps * batch // rows), batch)


def dense(
    rng: Rng,
    data: Callable[[Rng], Data] = any_data,
    optimizers: Sequence[str] = ("adam", "adamw", "momentum"),
    **how: Any,
) -> Case:
    """Return a case of a dense network."""
    return trained(rng, network(rng, data(rng), **how), optimizers)


class Deep(nn.Module):
    """Blocks h ← h + W₂·relu(W₁·norm(h)) between two linear layers."""

    def __init__(self, features: int, width: int, blocks: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
            )
            for _ in range(blocks)
        )
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the rows."""
        h = self.first(x)
        for block in self.blocks:
            h = h + block(h)
        out: Tensor = self.last(h)
        return out


class Recurrent(nn.Module):
    """An RNN over sequences (rows, length, features), and a linear layer on its last state."""

    def __init__(self, features: int, hidden: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        self.rnn = nn.RNN(features, hidden, batch_first=True, nonlinearity="tanh")
        self.last = nn.Linear(hidden, outputs)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, gain)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the rows."""
        out: Tensor = self.last(self.rnn(x)[0][:, -1])
        return out


def sequences(rng: Rng, length: int) -> Data:
    """Return sequences of numbers, of which the mean of the last five decides the value."""
    x = rng.standard_normal((1000, length, 2))
    y = x[:, -5:, 0].mean(1, keepdims=True) * np.sqrt(5)
    return sets(x, y, 200)


def convolutional(batch_norm: bool = True) -> nn.Sequential:
    """Return a small network of two convolutions for 64 pixels."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
    for before, after in itertools.pairwise((1, 8, 16)):
        layers.append(nn.Conv2d(before, after, 3, padding=1))
        layers += [nn.BatchNorm2d(after)] * batch_norm
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))


def linears(model: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of a model in order."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
