"""Each symptom fires on its plant, and stays silent on what looks like it and is healthy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.doctor.helpers import FEATURES, batches, net, report, trained
from thalweg.doctor import Doctor, Report, Statistic, Symptom
from thalweg.doctor.forks.remedies import advice
from thalweg.doctor.symptoms.all import SYMPTOMS
from thalweg.doctor.symptoms.balance import DecayImbalance, EarlySchedule, LayerImbalance
from thalweg.doctor.symptoms.conditioning import Conditioning
from thalweg.doctor.symptoms.data import BrokenInputs, DataOrder
from thalweg.doctor.symptoms.edge import EdgeOfStability
from thalweg.doctor.symptoms.frozen import FrozenLayers
from thalweg.doctor.symptoms.gradients import Cliff, ExplodingGradient, VanishingGradient
from thalweg.doctor.symptoms.losses import BatchTooLarge, BatchTooSmall, LossSpike
from thalweg.doctor.symptoms.numbers import LostUpdates, NonFiniteNumbers
from thalweg.doctor.symptoms.outputs import (
    ConstantOutputs,
    ForgottenZeroGrad,
    LearnsNothing,
    MixedRows,
    ModesDiffer,
    NoGeneralization,
    RandomEvaluation,
    WrongGradient,
    WrongOutputs,
)
from thalweg.doctor.symptoms.pairs import MixedLoss, UnpairedLoss
from thalweg.doctor.symptoms.plateau import Plateau
from thalweg.doctor.symptoms.rates import RateTooHigh, RateTooLow
from thalweg.doctor.symptoms.starts import InitScale
from thalweg.doctor.symptoms.units import DeadUnits, Saturation, Symmetry
from thalweg.doctor.watched import BatchNoise, Watched

SGD, ADAM = torch.optim.SGD, torch.optim.Adam


def scaled(model: nn.Module, by: float) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(by)
    return model


def filled(
    model: nn.Sequential, place: int, *, bias: float | None = None, weight: float | None = None
) -> nn.Sequential:
    layer: Any = model[place]
    with torch.no_grad():
        if bias is not None:
            layer.bias.fill_(bias)
        if weight is not None:
            layer.weight.mul_(weight)
    return model


def told(
    symptom: type[Symptom],
    model: nn.Module,
    lr: float = 0.1,
    *,
    kind: Any = SGD,
    steps: int = 60,
    given: Any = None,
    **options: Any,
) -> Report:
    """Train a model and return what is said of one symptom, without forks unless they are asked for."""
    hyper = options.pop("hyper", {})
    optimizer = kind(model.parameters(), lr=lr, **hyper)
    settings = {"symptoms": [symptom()], "forks": 0.0, **options}
    return report(model, optimizer, batches(steps) if given is None else given, **settings)


def constant(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0.1)
    return model


def in_order(x: Tensor, y: Tensor) -> Tensor:
    return y.argsort(stable=True)


def in_turns(x: Tensor, y: Tensor) -> Tensor:
    turn = torch.zeros(len(y), dtype=torch.long)
    for each in torch.unique(y):
        turn[y == each] = torch.arange(int((y == each).sum()))
    return (turn * 10 + y).argsort(stable=True)


def changed(change: Callable[[Tensor, int], Tensor], steps: int = 60) -> Any:
    return [(change(x.clone(), i), y) for i, (x, y) in enumerate(batches(steps))]


def wide(x: Tensor, _: int) -> Tensor:
    x[:, 3] *= 1e3
    return x


class Shuffling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.T.reshape(x.shape)


class AlwaysDropped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, training=True)


class Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def cut(model: nn.Sequential) -> nn.Module:
    layers = list(model)
    return nn.Sequential(*layers[:2], Detached(), *layers[2:])


def flipped(model: nn.Sequential) -> nn.Sequential:
    layer: Any = model[0]
    layer.weight.register_hook(lambda g: -g)
    return model


def unequal(model: nn.Module) -> Report:
    slow = model.get_parameter("2.weight")
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p is not slow]},
        {"params": [slow], "lr": 1e-7},
    ]
    optimizer = ADAM(groups, lr=1e-3)
    return report(model, optimizer, batches(40), symptoms=[LayerImbalance()], forks=0.0)


def never_moving() -> nn.Module:
    torch.manual_seed(0)
    first = nn.Linear(FEATURES, 24)
    nn.init.constant_(first.bias, 4.0)
    return nn.Sequential(first, nn.BatchNorm1d(24, momentum=1e-6), nn.ReLU(), nn.Linear(24, 4))


def noise(batch: int, scale: float) -> Any:
    from thalweg.curvature.trace import Estimate

    return BatchNoise(Estimate(scale, 0.1 * scale, 0), batch)


PLANTS: dict[str, tuple[type[Symptom], Callable[[], Report]]] = {
    "Adam, lr 1": (RateTooHigh, lambda: told(RateTooHigh, net(), 1.0, kind=ADAM)),
    "SGD, lr 1e-5": (RateTooLow, lambda: told(RateTooLow, net(), 1e-5)),
    "10 sigmoids": (VanishingGradient, lambda: told(VanishingGradient, net(nn.Sigmoid, 10))),
    "8 large layers": (
        ExplodingGradient,
        lambda: told(ExplodingGradient, scaled(net(nn.Identity, 8), 5.0), 1e-12),
    ),
    "biases of -9": (DeadUnits, lambda: told(DeadUnits, filled(net(), 2, bias=-9.0))),
    "tanh × 80": (Saturation, lambda: told(Saturation, filled(net(nn.Tanh), 0, weight=80.0), 0.01)),
    "all weights .1": (Symmetry, lambda: told(Symmetry, constant(net()))),
    "sorted": (DataOrder, lambda: told(DataOrder, net(), given=batches(48, order=in_order))),
    "weights × 6": (InitScale, lambda: told(InitScale, scaled(net(), 6.0), 1e-3)),
    "one feature × 1000": (
        Conditioning,
        lambda: told(Conditioning, net(), 1e-6, given=changed(wide)),
    ),
    "NaN in the inputs": (
        BrokenInputs,
        lambda: told(
            BrokenInputs, net(), given=changed(lambda x, i: x.fill_(np.nan) if i == 9 else x, 12)
        ),
    ),
    "a loss of infinity": (NonFiniteNumbers, lambda: told(NonFiniteNumbers, net(), 1e30)),
    "bfloat16": (
        LostUpdates,
        lambda: told(
            LostUpdates,
            net().bfloat16(),
            1e-5,
            kind=ADAM,
            given=[(x.bfloat16(), y) for x, y in batches(60)],
        ),
    ),
    "decay of 3": (
        DecayImbalance,
        lambda: told(
            DecayImbalance, net(), 0.01, kind=torch.optim.AdamW, hyper={"weight_decay": 30.0}
        ),
    ),
    "one layer × 1e-4": (LayerImbalance, lambda: unequal(net(depth=3))),
    "one batch × 100": (
        LossSpike,
        lambda: told(
            LossSpike,
            net(),
            1e-4,
            steps=80,
            given=changed(lambda x, i: x * 100 if i == 50 else x, 80),
        ),
    ),
    "zero last layers": (
        Plateau,
        lambda: told(
            Plateau, filled(filled(net(), 4, bias=0.0, weight=0.0), 2, weight=0.0), 1e-4, steps=80
        ),
    ),
    "a reshape": (MixedRows, lambda: told(MixedRows, nn.Sequential(Shuffling(), *net()))),
    "a softmax over the batch": (
        MixedRows,
        lambda: told(MixedRows, nn.Sequential(*net(), nn.Softmax(0))),
    ),
    "inputs × 0": (
        ConstantOutputs,
        lambda: told(ConstantOutputs, net(), given=changed(lambda x, _: x * 0)),
    ),
    "dropout that stays": (
        RandomEvaluation,
        lambda: told(RandomEvaluation, nn.Sequential(AlwaysDropped(), *net())),
    ),
    "statistics that stay": (ModesDiffer, lambda: told(ModesDiffer, never_moving(), steps=100)),
    "softmax twice": (
        WrongOutputs,
        lambda: told(WrongOutputs, nn.Sequential(*net(), nn.Softmax(1))),
    ),
    "detached": (WrongGradient, lambda: told(WrongGradient, cut(net()))),
    "a wrong sign": (WrongGradient, lambda: told(WrongGradient, flipped(net()), 1e-3)),
    "targets of other rows": (
        LearnsNothing,
        lambda: told(LearnsNothing, net(), 1e-3, given=[(x, y.roll(1)) for x, y in batches(120)]),
    ),
}
LOOK_ALIKES: dict[str, tuple[type[Symptom], Callable[[], Report]]] = {
    "Adam, lr .01": (RateTooHigh, lambda: told(RateTooHigh, net(), 1e-3, kind=ADAM)),
    "a loss that rises once": (
        Cliff,
        lambda: told(Cliff, net(), given=changed(lambda x, i: x * 20 if i == 30 else x)),
    ),
    "SGD, lr .1": (RateTooLow, lambda: told(RateTooLow, net())),
    "10 layers of ReLU by He": (VanishingGradient, lambda: told(VanishingGradient, net(depth=3))),
    "3 layers": (ExplodingGradient, lambda: told(ExplodingGradient, net(depth=3))),
    "biases of -.1": (DeadUnits, lambda: told(DeadUnits, filled(net(), 2, bias=-0.1))),
    "tanh": (Saturation, lambda: told(Saturation, net(nn.Tanh))),
    "a zero last layer": (Symmetry, lambda: told(Symmetry, filled(net(), 4, weight=0.0))),
    "classes take turns": (
        DataOrder,
        lambda: told(DataOrder, net(), given=batches(48, order=in_turns)),
    ),
    "a start that is trained": (InitScale, lambda: told(InitScale, net())),
    "standard inputs": (Conditioning, lambda: told(Conditioning, net())),
    "finite inputs": (BrokenInputs, lambda: told(BrokenInputs, net())),
    "a finite loss": (NonFiniteNumbers, lambda: told(NonFiniteNumbers, net())),
    "float32": (LostUpdates, lambda: told(LostUpdates, net(), 1e-5, kind=ADAM)),
    "a little decay": (
        DecayImbalance,
        lambda: told(
            DecayImbalance, net(), 0.01, kind=torch.optim.AdamW, hyper={"weight_decay": 0.1}
        ),
    ),
    "layers alike": (LayerImbalance, lambda: told(LayerImbalance, net(depth=3))),
    "no spikes": (LossSpike, lambda: told(LossSpike, net(), steps=80)),
    "a loss that falls": (Plateau, lambda: told(Plateau, net(), steps=80)),
    "rows apart": (MixedRows, lambda: told(MixedRows, net())),
    "outputs that differ": (ConstantOutputs, lambda: told(ConstantOutputs, net())),
    "dropout": (
        RandomEvaluation,
        lambda: told(RandomEvaluation, nn.Sequential(nn.Dropout(), *net())),
    ),
    "batch norm": (
        ModesDiffer,
        lambda: told(ModesDiffer, nn.Sequential(nn.BatchNorm1d(FEATURES), *net()), steps=100),
    ),
    "logits": (WrongOutputs, lambda: told(WrongOutputs, net())),
    "right gradients": (WrongGradient, lambda: told(WrongGradient, net(nn.Tanh))),
    "targets of their rows": (LearnsNothing, lambda: told(LearnsNothing, net(), steps=120)),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", PLANTS)
def test_a_symptom_fires_on_its_plant(name: str) -> None:
    symptom, run = PLANTS[name]
    found = run()
    assert symptom.name in found, str(found)
    assert found[symptom.name].words


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_symptom_stays_silent_on_what_looks_like_it(name: str) -> None:
    symptom, run = LOOK_ALIKES[name]
    found = run()
    assert symptom.name not in found, str(found)


def test_every_symptom_has_a_plant_or_a_test_of_its_own() -> None:
    alone = {EdgeOfStability, Cliff, BatchTooSmall, BatchTooLarge, NoGeneralization, EarlySchedule}
    alone |= {UnpairedLoss, MixedLoss, ForgottenZeroGrad, FrozenLayers}
    assert {symptom for symptom, _ in PLANTS.values()} | alone == {type(s) for s in SYMPTOMS}
    names = [s.name for s in SYMPTOMS]
    assert len(set(names)) == len(names)


class Product(nn.Module):
    """x·Πw of equal weights: a plain beside a cliff."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.full((18,), 0.85))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w.prod()


def test_a_cliff_is_seen_and_clipping_confirmed() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(40, 20, 1, generator=draw)
    model = Product()
    optimizer = SGD(model.parameters(), lr=0.04, momentum=0.9)
    doctor = Doctor(model, optimizer, loss="mse", budget=1e9, symptoms=[Cliff()])
    for each in x:
        optimizer.zero_grad()
        loss = functional.mse_loss(model(each), 2 * each)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        doctor.step(loss, batch=(each, 2 * each))
    verdict = doctor.report()["cliff"]
    assert verdict.status == "confirmed"
    assert verdict.remedy is not None
    assert verdict.remedy.name == "clip"


@pytest.mark.parametrize(
    ("batch", "scale", "name"), [(2, 100.0, "batch_too_small"), (512, 4.0, "batch_too_large")]
)
def test_batches_are_compared_with_the_noise_scale(batch: int, scale: float, name: str) -> None:
    model = net()
    watched = Watched(model, SGD(model.parameters(), lr=0.1))
    for value in np.random.default_rng(0).uniform(0.9, 1.1, 90):
        watched.losses.add(float(value))
    symptoms = [BatchTooSmall(), BatchTooLarge()]
    watched.noise = noise(batch, scale)
    assert [v.symptom for s in symptoms for v in s.looks(watched)] == [name]
    watched.noise = noise(batch, float(batch))
    assert [v.symptom for s in symptoms for v in s.looks(watched)] == []


def test_the_noise_scale_is_measured_on_kept_batches() -> None:
    model = net()
    doctor = trained(model, SGD(model.parameters(), lr=0.1), batches(20), forks=0.0)
    assert doctor is not None
    doctor.report()
    assert doctor.watched.noise is not None
    assert doctor.watched.noise.batch == 32


def test_a_validation_set_that_is_not_learned_is_told() -> None:
    model = net()
    doctor = trained(model, SGD(model.parameters(), lr=0.1), batches(150), forks=0.0)
    assert doctor is not None
    doctor.validated(0.4)
    assert "no_generalization" not in doctor.report()
    doctor.validated(2.5)
    assert "no_generalization" in doctor.report()


@pytest.mark.parametrize(("factor", "is_told"), [(0.8, True), (0.995, False)])
def test_a_schedule_that_ends_early_is_told(factor: float, is_told: bool) -> None:
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, factor)
    doctor = Doctor(model, optimizer, symptoms=[EarlySchedule()])
    for x, y in batches(100):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        doctor.step(loss)
        scheduler.step()
    assert ("schedule" in doctor.report()) == is_told


def test_the_edge_of_stability_is_information() -> None:
    x = torch.eye(4) * torch.tensor([4.0, 1.0, 1.0, 1.0])
    model = nn.Linear(4, 1, bias=False)  # a quadratic, whose Hessian is 2 xᵀx / 4
    y = torch.ones(4, 1)
    for share, is_told in ((0.95, True), (0.5, False)):
        optimizer = SGD(model.parameters(), lr=share * 2 / 8.0)
        doctor = trained(
            model, optimizer, [(x, y)] * 60, loss=functional.mse_loss, forks=0.0,
            symptoms=[EdgeOfStability()],
        )  # fmt: skip
        assert doctor is not None
        found = doctor.report()
        assert found.healthy, str(found)
        assert ("edge_of_stability" in found) == is_told
        if is_told:
            statistic = found["edge_of_stability"].statistic
            assert statistic is not None
            assert abs(statistic.value - 1.9) < 0.05, "lr λ = .95 · 2"


class Mine(Symptom):
    """A symptom of a user."""

    name = "mine"

    def looks(self, watched: Watched) -> list[Any]:
        from thalweg.doctor import Verdict

        found = Statistic("first loss", float(watched.losses.first(1)[0]), high=1.0)
        return [Verdict(self.name, found, remedy=advice("look", "look there"))]


def test_a_symptom_of_ones_own_is_looked_for() -> None:
    assert "mine" in told(Mine, net())


def test_faults_are_confirmed_by_forks_and_a_healthy_run_has_none() -> None:
    sick = told(RateTooHigh, net(), 3.0, kind=ADAM, forks=1e4)
    assert sick["lr_too_high"].status == "confirmed"
    model = net()
    healthy = report(model, SGD(model.parameters(), lr=0.1), batches(150))
    assert healthy.healthy, str(healthy)
