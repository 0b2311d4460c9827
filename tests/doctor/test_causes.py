"""What was there before the first step, in the data or in the loop, is told apart from what follows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.doctor.helpers import CLASSES, FEATURES, Batches, batches, net, report, rows
from thalweg.doctor import Doctor, Report, Symptom
from thalweg.doctor.forks.remedies import scaled_rate, standardized, widened
from thalweg.doctor.symptoms.balance import DecayImbalance, LayerImbalance
from thalweg.doctor.symptoms.data import DataOrder, InputScale
from thalweg.doctor.symptoms.gradients import Cliff, ExplodingGradient, VanishingGradient
from thalweg.doctor.symptoms.losses import LossSpike
from thalweg.doctor.symptoms.outputs import ForgottenZeroGrad, ModesDiffer, NoGeneralization
from thalweg.doctor.symptoms.plateau import Plateau
from thalweg.doctor.symptoms.starts import InitScale
from thalweg.doctor.symptoms.units import DeadUnits
from thalweg.doctor.watched import ModeLoss, Parameter, StaleStatistics, UpdateSample, Watched

SGD = torch.optim.SGD


def looked(model: nn.Module, given: Batches, *symptoms: Symptom, **options: Any) -> Report:
    lr = options.pop("lr", 0.1)
    settings = {"forks": 0.0, "symptoms": symptoms, **options}
    return report(model, SGD(model.parameters(), lr=lr), given, **settings)


def with_first(model: nn.Sequential, *, weight: float = 1.0, bias: float | None = None) -> Any:
    layer: Any = model[0]
    with torch.no_grad():
        layer.weight.mul_(weight)
        if bias is not None:
            layer.bias.fill_(bias)
    return model


def forgetful(*, forgets: bool, momentum: float = 0.0) -> Report:
    model = net()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=momentum)
    doctor = Doctor(model, optimizer, loss="cross_entropy", symptoms=[ForgottenZeroGrad()])
    for x, y in batches(4):
        if not forgets:
            optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        doctor.step(loss, batch=(x, y))
    return doctor.report()


def test_a_loop_that_forgets_zero_grad_is_told_by_its_second_gradient() -> None:
    found = forgetful(forgets=True)["forgotten_zero_grad"]
    assert found.status == "confirmed"
    assert found.statistic is not None
    assert math.isclose(found.statistic.value, 1.0, abs_tol=1e-3)
    assert forgetful(forgets=False, momentum=0.9).healthy, "momentum is not a gradient"


def test_units_that_were_dead_at_the_start_say_more_than_the_start() -> None:
    found = looked(with_first(net(), bias=-9.0), batches(60), DeadUnits(), InitScale())
    assert found["dead_units"].since == 1
    assert "init_scale" not in found["dead_units"].behind


def test_units_that_died_stand_behind_what_killed_them() -> None:
    found = looked(net(), batches(60), DeadUnits(), lr=10.0)
    assert found["dead_units"].since is None
    assert {"lr_too_high", "init_scale"} <= set(found["dead_units"].behind)


def test_units_behind_weights_of_zero_are_at_a_saddle_and_not_dead() -> None:
    model = with_first(net(), weight=0.0, bias=0.0)
    found = looked(model, batches(80), DeadUnits(), Plateau(), lr=1e-4)
    assert "dead_units" not in found, "their own weights would wake them"
    assert "plateau_or_saddle" in found


def test_few_layers_near_zero_are_no_vanishing_by_depth() -> None:
    model = net(nn.Tanh)
    with torch.no_grad():
        for place in (2, 4):
            layer: Any = model[place]
            layer.weight.mul_(1e-4)
    assert looked(model, batches(40), VanishingGradient()).healthy
    assert not looked(net(nn.Sigmoid, 10), batches(40), VanishingGradient()).healthy


def test_a_small_last_layer_is_no_wrong_start() -> None:
    model = net(depth=3)
    last: Any = model[-1]
    with torch.no_grad():
        last.weight.mul_(1e-3)
        last.bias.zero_()
    assert looked(model, batches(20), InitScale()).healthy


def test_weights_that_decay_alone_has_shrunk_need_no_fork() -> None:
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    found = report(model, optimizer, batches(120), forks=0.0, symptoms=[DecayImbalance()])
    assert found["decay_imbalance"].status == "confirmed"
    assert "shrunk" in found["decay_imbalance"].words


def values(order: Any = None) -> Batches:
    x, _ = rows()
    y = torch.stack([x[:, 0] + x[:, 1], x[:, 2], x[:, 3]], 1)
    places = torch.randperm(512) if order is None else order(y)
    return [(x[i], y[i]) for _ in range(3) for i in places.split(32)]


def test_numbers_that_arrive_in_an_order_are_told_by_any_of_their_columns() -> None:
    torch.manual_seed(0)
    model = nn.Linear(FEATURES, 3)
    ordered = values(lambda y: y[:, 0].argsort())
    assert not looked(model, ordered, DataOrder(), loss=functional.mse_loss).healthy
    assert looked(model, values(), DataOrder(), loss=functional.mse_loss).healthy


def test_a_batch_of_other_units_that_throws_up_the_loss_is_plain_to_see() -> None:
    given = batches(80)
    given[5] = given[5][0] * 100, given[5][1]
    found = looked(net(), given, LossSpike())["loss_spike"]
    assert (found.status, found.since) == ("confirmed", 6)
    assert found.statistic is not None
    assert found.statistic.value > 50


@pytest.mark.parametrize("forks", [0.0, 1e4])
def test_a_batch_of_other_units_is_no_fault_where_it_did_no_harm(forks: float) -> None:
    given = batches(80)
    # saturated units pass no gradient of it, and the loss stays among those before
    given[5] = given[5][0] * 100, given[5][1]
    model = net(nn.Tanh, width=48)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    found = report(model, optimizer, given, symptoms=[LossSpike()], forks=forks)
    assert found.healthy, str(found)
    assert found["loss_spike"].status == ("refuted" if forks else "cannot be told")


class Recurrent(nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.last = nn.RNN(2, 16, batch_first=True), nn.Linear(16, CLASSES)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, gain)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.rnn(x.reshape(len(x), -1, 2))[0][:, -1])
        return out


@pytest.mark.parametrize(("gain", "is_told"), [(1.8, True), (1.1, False)])
def test_a_recurrent_matrix_that_grows_is_seen_at_the_start(gain: float, is_told: bool) -> None:
    found = looked(Recurrent(gain), batches(12), ExplodingGradient(), lr=1e-3)
    assert ("exploding_gradient" in found) == is_told
    if is_told:
        assert found["exploding_gradient"].where == "rnn.weight_hh_l0"


@pytest.mark.parametrize(("spike", "is_told"), [(0, False), (1, False), (30, True)])
def test_large_gradients_of_a_recurrent_net_are_no_spikes_at_the_start(
    spike: int, is_told: bool
) -> None:
    model = Recurrent(1.0)
    watched = Watched(model, SGD(model.parameters(), lr=0.1))
    watched.parameters = (Parameter("rnn.weight_hh_l0", 256, True, torch.float32),)
    for step in range(40):
        gradient = np.array([20.0 if step == spike else 1.0])
        none = np.zeros(1)
        sample = UpdateSample(step + 1, 0.1, gradient, none, none, none, none, 0.0)
        watched.updates.add(sample)
    assert bool(ExplodingGradient().looks(watched)) == is_told


@pytest.mark.parametrize("lr", [1.0, 1e-5])
def test_a_rate_of_one_layer_is_seen_in_its_first_update(lr: float) -> None:
    """One that is too low is tried where the others have made the best of it."""
    model = net(nn.Tanh, depth=3)
    other = model.get_parameter("2.weight")
    rest = [p for p in model.parameters() if p is not other]
    optimizer = torch.optim.Adam([{"params": rest}, {"params": [other], "lr": lr}], lr=5e-3)
    found = report(model, optimizer, batches(40), forks=0.0, symptoms=[LayerImbalance()])
    assert found["layer_imbalance"].where == "2.weight"
    assert [r.from_end for r in found["layer_imbalance"].others] == [lr < 5e-3]


def summary(**parts: Any) -> Watched:
    """Return what was watched of a run of 150 steps whose loss fell to 1.4, guessing being log 4."""
    model = net()
    watched = Watched(model, SGD(model.parameters(), lr=0.1), "cross_entropy", steps=150)
    for value in np.linspace(2.0, 1.4, 150):
        watched.losses.add(float(value))
    watched.labels.counts = [dict.fromkeys(range(CLASSES), 8)]
    for name, value in parts.items():
        setattr(watched, name, value)
    return watched


def test_a_validation_set_that_is_far_easier_says_that_labels_are_wrong() -> None:
    modes = [ModeLoss(150, 1.0, 1.0)]
    for loss, is_told in ((0.5, True), (0.95, False), (1.2, False)):
        watched = summary(modes=modes, validations=[(150, loss)])
        assert bool(NoGeneralization().looks(watched)) == is_told, loss


def test_a_validation_set_that_is_not_guessed_is_told_though_nothing_was_learned() -> None:
    assert NoGeneralization().looks(summary(validations=[(150, 1.38)]))


def test_running_statistics_are_stale_where_others_give_a_better_loss() -> None:
    for loss, is_told in ((0.1, True), (0.04, False)):
        watched = summary(stale=StaleStatistics("1", 0.99, loss, 0.04))
        assert bool(ModesDiffer().looks(watched)) == is_told


def test_inputs_of_other_units_bear_a_larger_rate_once_they_are_scaled() -> None:
    given = [(x * torch.tensor([300.0] + [1.0] * 7), y) for x, y in batches(40)]
    found = looked(nn.Linear(FEATURES, CLASSES), given, InputScale(), lr=1e-6)["ill_conditioning"]
    assert found.remedy is not None
    assert "lr_factor" not in found.remedy.settings, "an adaptive optimizer needs no other rate"
    assert found.others[0].settings["lr_factor"] == pytest.approx(300**2, rel=0.5)


def test_what_a_remedy_must_do_at_least() -> None:
    assert scaled_rate(0.1, from_start=False, least=0.75).least == 0.75
    assert widened().least == 1.0
    assert standardized().settings == {"scale": "standard"}


class Product(nn.Module):
    """x·Πw + b of equal weights: a plain before a cliff, and another one behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.bias = nn.Parameter(torch.full((19,), 0.74)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w.prod() + self.bias


@pytest.mark.full
def test_a_cliff_between_two_plains_is_found_by_a_long_fork() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(300, 20, 1, generator=draw)
    given = [(each, 2 * each) for each in x]
    model = Product()
    optimizer = SGD(model.parameters(), lr=0.011, momentum=0.9)
    found = report(model, optimizer, given, loss=functional.mse_loss, symptoms=[Cliff()])
    assert found["cliff"].status == "confirmed"
    assert found["cliff"].remedy is not None
    assert found["cliff"].remedy.name == "clip"


def test_a_loss_that_stands_still_is_no_cliff_unless_a_fork_says_so() -> None:
    draw = torch.Generator().manual_seed(0)
    given = [(x, torch.randn(8, 1, generator=draw)) for x in torch.randn(320, 8, 3, generator=draw)]
    model = nn.Linear(3, 1)
    found = looked(model, given, Cliff(), lr=1e-6, loss="mse")
    assert found.healthy
    assert found["cliff"].status == "cannot be told"


@pytest.mark.parametrize("is_sorted", [True, False])
def test_single_rows_in_the_order_of_their_targets_are_told(is_sorted: bool) -> None:
    y = torch.randn(30, generator=torch.Generator().manual_seed(0))
    y = y.sort().values if is_sorted else y
    given = [(torch.ones(1, 1), each.reshape(1, 1)) for each in y.repeat(4)]
    found = looked(nn.Linear(1, 1), given, DataOrder())
    assert ("data_order" in found) == is_sorted
