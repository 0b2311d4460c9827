"""What is read at the end of a run that has diverged, or below what numbers resolve, is no finding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.doctor.helpers import CLASSES, batches, net
from thalweg.curvature.trace import Estimate
from thalweg.doctor import Symptom
from thalweg.doctor.checks import check_pairs
from thalweg.doctor.confirm import helps
from thalweg.doctor.forks.remedies import left_out, scaled_rate
from thalweg.doctor.symptoms.losses import BatchTooLarge
from thalweg.doctor.symptoms.outputs import (
    ConstantOutputs,
    ForgottenZeroGrad,
    LearnsNothing,
    ModesDiffer,
    NoGeneralization,
)
from thalweg.doctor.verdict import Effect, Remedy
from thalweg.doctor.watched import (
    BatchNoise,
    Ending,
    ModeLoss,
    OutputCheck,
    Parameter,
    UpdateSample,
    Watched,
)


def ended(at: float, noise: float = 0.01) -> Watched:
    """Return what was watched of a run whose loss went from 2 to `at`, every finding of its end a bad one."""
    model = net()
    watched = Watched(
        model, torch.optim.SGD(model.parameters(), lr=0.1), "cross_entropy", steps=150
    )
    for value in np.geomspace(2.0, at, 150) if math.isfinite(at) else [2.0, *[at] * 149]:
        watched.losses.add(float(value))
    watched.labels.counts = [dict.fromkeys(range(CLASSES), 8)]
    watched.check = OutputCheck(0.0, 1.0, False, False, "", 1.4, 1.4, (0.0, 3.0), (0.0, 1.0))
    watched.modes = [ModeLoss(150, at, 10 * at)]
    watched.validations = [(150, 10 * at)]
    watched.noise = BatchNoise(Estimate(noise, 0.0, 0, 0.0, 8), 32)
    return watched


@pytest.mark.parametrize(
    "symptom",
    [ConstantOutputs(), LearnsNothing(), ModesDiffer(), NoGeneralization(), BatchTooLarge()],
)
def test_the_end_of_a_run_that_diverged_shows_nothing_else(symptom: Symptom) -> None:
    assert symptom.looks(ended(1.9))
    for at in (1e3, math.inf, math.nan):
        assert not symptom.looks(ended(at)), at


def test_noise_that_rounding_makes_is_no_noise_scale() -> None:
    assert BatchTooLarge().looks(ended(1.9, 1e-5))
    assert not BatchTooLarge().looks(ended(1.9, 1e-14))


@pytest.mark.parametrize(("second", "is_told"), [(2.0, True), (1e5, False)])
def test_a_first_gradient_is_not_found_in_the_rounding_of_the_second(
    second: float, is_told: bool
) -> None:
    watched = ended(1.9)
    watched.forgotten = 1.0
    watched.parameters = (Parameter("w", 1, True, torch.float32),)
    for step, norm in ((1, 1.0), (2, second)):
        none = np.zeros(1)
        watched.updates.add(UpdateSample(step, 0.1, np.array([norm]), none, none, none, none))
    assert bool(ForgottenZeroGrad().looks(watched)) == is_told


@pytest.mark.parametrize("offset", [1.0, 100.0, 1e4, 1e8])
def test_outputs_far_from_the_targets_do_not_unpair_a_loss(offset: float) -> None:
    model = nn.Sequential(net(), nn.Linear(CLASSES, 1), nn.Flatten(0))
    with torch.no_grad():
        model[1].weight.zero_()  # type: ignore[operator, union-attr]
        model[1].bias.fill_(offset)  # type: ignore[operator, union-attr]
    watched = Watched(model, torch.optim.SGD(model.parameters(), lr=0.1))
    x, _ = batches(1)[0]
    found = check_pairs(watched, functional.mse_loss, (x, x[:, 0]))
    assert found is not None
    assert not found.is_unpaired


def test_a_curvature_that_rounding_makes_is_no_saddle() -> None:
    low, high = (Estimate(value, 0.0, 0, 0.0, 0) for value in (-1e-9, 1e-9))
    assert Ending(low, high, {}, 0.0, 1.0, False).bends_down
    assert not Ending(low, high, {}, 0.0, 1.0, False, rounding=1e-8).bends_down


@pytest.mark.parametrize(
    ("remedy", "is_mended"),
    [(scaled_rate(0.1, from_start=True), False), (left_out((1,)), True)],
)
def test_a_loss_that_diverges_later_is_not_mended(remedy: Remedy, is_mended: bool) -> None:
    """Where both arms are changed before, the loss before the fork is another one."""
    effect = Effect("loss", 1e19, 1e16, 1e-4, 1e-2, 40, 7, before=2.0, worst=1e16)
    assert helps(remedy, effect) == is_mended
    assert helps(remedy, Effect("loss", 1e19, 15.0, 1e-4, 1e-2, 40, 7, before=2.0, worst=15.0))
