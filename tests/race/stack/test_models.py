"""Every kind of model trains in a stack as it does alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.race.stack.subjects import (
    SETTING,
    alone,
    assert_same,
    classes,
    entrant,
    stacked,
    task,
    trials,
)
from thalweg import optim
from thalweg.objective import L1, L2, Cost, Metric
from thalweg.race.trials.plan import Setting
from thalweg.tasks import Data, Task, mlp
from thalweg.tasks.built_in.digits_vae import negative_elbo

PAIR = [entrant(optim.SGD), entrant(optim.Adam)]


def unit(seeds: tuple[int, ...] = (0, 4)) -> Any:
    return trials(PAIR, [0.01, 0.1], seeds)


class Coder(nn.Module):
    """A small variational autoencoder of rows of 4, whose noise in evaluation is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4), nn.Linear(2, 4)
        self.register_buffer("noise", torch.randn(1, 2, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        code = self.encoder(x)
        mean, spread = code.chunk(2, 1)
        noise = torch.randn_like(mean) if self.training else self.noise
        return torch.cat([self.decoder(mean + (0.5 * spread).exp() * noise), code], 1)


class Noisy(nn.Module):
    """Draws in many ways, some of them by numbers that depend on the parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        if not self.training:
            return y
        y = y + 0.1 * torch.randn(len(x), 3) + 0.1 * torch.rand_like(y)
        y = y + torch.normal(1.0, 0.1, (len(x), 3))
        y = y * torch.bernoulli(torch.sigmoid(self.layer.weight.sum()).expand(3))
        return (
            functional.gumbel_softmax(y.double()) + torch.normal(y, 0.1) + torch.randint(0, 2, (3,))
        )


class Tied(nn.Module):
    """One matrix in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Idle(nn.Module):
    """Has a parameter that takes no part, and one that is frozen and drawn by the seed."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.ones(2))
        self.frozen = nn.Linear(4, 5)
        for p in self.frozen.parameters():
            p.requires_grad_(False)
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.frozen(x)))


def convolution() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)),
        nn.Conv2d(1, 3, 2, padding=1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3, 3),
    )


# A bias before batch normalization has a gradient of zero but for rounding, which Adam would blow up.
MODELS = {
    "relu": lambda: mlp([4, 6, 3]),
    "batch norm": lambda: nn.Sequential(
        nn.Linear(4, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)
    ),
    "dropout": lambda: mlp([4, 16, 3], dropout=0.4),
    "both": lambda: nn.Sequential(
        nn.Linear(4, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.Dropout(0.3),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(8, 3),
    ),
    "layer norm": lambda: nn.Sequential(
        nn.Linear(4, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3)
    ),
    "convolution": convolution,
    "noisy": Noisy,
    "tied": Tied,
    "idle": Idle,
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    assert_same(task(MODELS[name]), unit())


def test_dropout_differs_between_seeds_and_not_within() -> None:
    """The test above would pass without dropout; here it shows that there is some."""
    same = trials([entrant(optim.SGD, "a"), entrant(optim.SGD, "b")], [0.1], [0, 1])
    dropped = stacked(task(MODELS["dropout"]), same)
    plain = stacked(task(lambda: mlp([4, 16, 3])), same)
    ends = [member.run.evaluations[-1].scores.loss for member in dropped]
    assert ends[0] == pytest.approx(ends[1], abs=1e-12)
    assert ends[2] == pytest.approx(ends[3], abs=1e-12)
    assert ends[0] != pytest.approx(ends[2])
    assert ends[0] != pytest.approx(plain[0].run.evaluations[-1].scores.loss)


def test_noise_of_a_variational_auto_encoder() -> None:
    x = classes().train.inputs.sigmoid()
    coder = Task(
        data=Data.arrays(x, x, validation=0.25),
        cost=Cost(negative_elbo),
        model=lambda: Coder().double(),
    )
    assert_same(coder, unit(), Setting(8, "loss", "min"))


def test_noise_in_evaluation() -> None:
    """The run's own noise goes on as if nothing had been measured."""

    class Always(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return functional.dropout(self.layer(x), 0.3, training=True)

    assert_same(task(Always), unit())


class Half:
    """A penalty that no one knows."""

    def __call__(self, model: nn.Module) -> Tensor:
        return 0.01 * sum(p.pow(4).sum() for p in model.parameters())  # type: ignore[return-value]


@pytest.mark.parametrize("penalty", [L2(0.01), L1(1e-3) + L2(0.02, include_biases=True), Half()])
def test_penalties(penalty: Any) -> None:
    cost = Cost("cross_entropy", metrics="accuracy", penalty=penalty)
    assert_same(task(cost=cost), unit())
    assert alone(task(cost=cost), unit()[:1])[0].evaluations[-1].scores.penalty > 0


def _largest(outputs: Any, targets: Any) -> float:
    return float(outputs.abs().max().item())


COSTS = [
    Cost(
        "cross_entropy",
        metrics=["accuracy", "error_rate", Metric("largest", _largest, additive=False)],
    ),
    Cost(nn.CrossEntropyLoss(label_smoothing=0.1), metrics="accuracy"),
    Cost(lambda o, t: functional.cross_entropy(o, t) + o.square().mean(), metrics="accuracy"),
]


@pytest.mark.parametrize("cost", COSTS, ids=["several", "smoothing", "own"])
def test_costs(cost: Cost) -> None:
    assert_same(task(cost=cost), unit())


def test_rows_to_be_ignored() -> None:
    """cross_entropy leaves out targets of −100, and so must a stack."""
    data = classes()
    targets = data.train.targets.clone()
    targets[::5] = -100
    ignoring = Data((data.train.inputs, targets), (data.validation.inputs, data.validation.targets))
    assert_same(task(data=ignoring, cost=Cost("cross_entropy", metrics="accuracy")), unit())


def test_regression() -> None:
    x = classes().train.inputs
    data = Data.arrays(x, x[:, :1].sin(), validation=0.25)
    cost = Cost("mse", metrics=["mae", "rmse", "r2"])
    line = task(lambda: mlp([4, 5, 1], nn.Tanh), data=data, cost=cost)
    assert_same(line, unit(), Setting(8, "rmse", "min"))


@pytest.mark.parametrize("size", [None, 1, 5, 44, 100])
def test_batches(size: int | None) -> None:
    assert_same(task(), unit((0, 3)), Setting(size, "accuracy", "max"))


def test_a_single_seed() -> None:
    assert_same(task(MODELS["dropout"]), unit((2,)))


def test_more_rows_than_are_measured_at_a_time() -> None:
    x = torch.linspace(-1, 1, 2500, dtype=torch.float64).reshape(-1, 1)
    data = Data.arrays(x, 2 * x + 1, validation=0.9)
    cost = Cost("mse", metrics=["mse", "rmse"])
    line = task(lambda: nn.Linear(1, 1), data=data, cost=cost)
    assert_same(line, trials(PAIR, [0.1], [0, 1], epochs=1), Setting(64, "mse", "min"))


def test_no_validation_set() -> None:
    bare = task(data=Data(classes().train))
    members, runs = stacked(bare, unit()), alone(bare, unit())
    for member, run in zip(members, runs, strict=True):
        assert member.run.evaluations == run.evaluations == []
        for ours, theirs in zip(member.model.parameters(), run.model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_setting_has_ragged_batches_and_evaluations_between() -> None:
    """What the tests above rely on."""
    assert len(classes().train.inputs) % SETTING.batch_size
    assert SETTING.evaluate_every(task(), 3) == 1
