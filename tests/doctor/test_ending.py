"""Where a run ended: saddles, plains and minima are told apart, and clipped steps from free ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.doctor.helpers import CLASSES, batches, net, report
from thalweg import optim
from thalweg.doctor import Report
from thalweg.doctor.bounded import measure_bound
from thalweg.doctor.symptoms.conditioning import falling
from thalweg.doctor.symptoms.gradients import ExplodingGradient
from thalweg.doctor.symptoms.plateau import Plateau
from thalweg.doctor.symptoms.reading import settled, standard_error, standing
from thalweg.doctor.symptoms.starts import InitScale
from thalweg.doctor.watched import Parameter, UpdateSample, Watched
from thalweg.labs.watching import NOTHING, OfPoint, value
from thalweg.rules import clip_by_global_norm


def descended(fun: object, start: list[float], lr: float = 0.05, steps: int = 200) -> Report:
    """Descend a function of a point in float64, and return what is said of where that ends."""
    model = OfPoint(fun, torch.tensor(start, dtype=torch.float64))  # type: ignore[arg-type]
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return report(model, optimizer, [NOTHING] * steps, loss=value, symptoms=[Plateau()])


def ridge(at: Tensor) -> Tensor:
    x, y = at.unbind(-1)
    return x**2 - y**2 + y**4 / 4


def test_a_saddle_is_told_with_its_curvature_and_left() -> None:
    found = descended(ridge, [1.0, 0.0])["plateau_or_saddle"]
    assert found.status == "confirmed", str(found)
    assert "λ_min = -2 " in found.words
    assert found.effect is not None
    assert found.effect.with_remedy == pytest.approx(-1.0, abs=0.05), "the minimum is −b²/4, b = 2"
    assert found.effect.without == pytest.approx(0.0, abs=1e-6), (
        "the loss itself, not a shifted one"
    )


@pytest.mark.parametrize("start", [[1.0, 1.4], [1.0, 0.3]])
def test_a_minimum_is_no_saddle(start: list[float]) -> None:
    assert "plateau_or_saddle" not in descended(ridge, start)


def test_a_shallow_minimum_beside_a_deeper_one_is_no_plain() -> None:
    """Its gradient vanishes, and its curvature explains how far the loss fell."""

    def wells(at: Tensor) -> Tensor:
        x = at[0]
        return (x**2 - 1) ** 2 + 0.3 * x

    found = descended(wells, [0.2], lr=0.02, steps=400)
    assert "plateau_or_saddle" not in found, str(found)


def test_what_fits_no_remedy_is_no_noise() -> None:
    """A point has no layers to be started again: that remedy is left out."""
    found = descended(lambda at: (at**2).sum() * 0 + 1.0, [1.0, 1.0], steps=80)
    assert "plateau_or_saddle" in found
    assert not found.unwatched


@pytest.mark.parametrize(("steps", "is_told"), [(500, True), (3000, False)])
def test_a_short_plateau_at_the_beginning_matters_in_a_short_run(steps: int, is_told: bool) -> None:
    model = net()
    watched = Watched(model, torch.optim.SGD(model.parameters(), lr=0.1), steps=steps)
    noise = np.random.default_rng(0).normal(0, 0.05, steps)
    for t in range(steps):
        watched.losses.add(2.0 - max(t - 70, 0) / steps + noise[t])
    assert bool(Plateau().looks(watched)) == is_told


def test_large_losses_do_not_overflow() -> None:
    falls = 1e200 * np.linspace(2.0, 1.0, 120)
    expected = 1e200 * np.linspace(2.0, 1.0, 120).std() / 120**0.5
    assert standard_error(falls) == pytest.approx(expected, rel=1e-12)
    assert standard_error(np.zeros(3)) == 0
    assert standing(falls) is None
    assert standing(np.full(120, 1e300)) is not None
    assert settled(falls) is None
    found = descended(lambda at: 1e200 * (at**2).sum(), [1.0, 1.0], lr=1e-202)
    assert not found.unwatched


def test_the_rate_at_which_a_loss_falls_is_found_above_any_floor() -> None:
    t = np.arange(400.0)
    assert falling(7.0 + 3.0 * np.exp(-0.01 * t)) == pytest.approx(0.01, rel=1e-6)
    assert falling(3.0 - 0.001 * t) == 0, "a straight line does not"


def clipped(kind: type, bound: float | None) -> torch.optim.Optimizer:
    given = {} if bound is None else {"before": clip_by_global_norm(bound)}
    model = net()
    optimizer: torch.optim.Optimizer = kind(model.parameters(), lr=0.01, **given)
    optimizer.model = model  # type: ignore[attr-defined]
    return optimizer


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("bound", [None, 0.1])
def test_an_optimizer_that_clips_is_known_by_its_steps(kind: type, bound: float | None) -> None:
    optimizer = clipped(kind, bound)
    model: nn.Module = optimizer.model  # type: ignore[attr-defined]
    given = batches(20)
    for x, y in given:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    before = [p.detach().clone() for p in model.parameters()]
    watched = Watched(model, optimizer)
    one = np.array([1.0])
    watched.parameters = (Parameter("all", 1, True, torch.float32),)
    watched.updates.add(UpdateSample(1, 0.01, one, one, one, one, one))
    measure_bound(watched, nn.functional.cross_entropy, given[0])
    assert watched.is_bounded == (bound is not None)
    assert all(bool((p == b).all()) for p, b in zip(model.parameters(), before, strict=True))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.last = nn.RNN(2, 16, batch_first=True), nn.Linear(16, CLASSES)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, 1.8)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.rnn(x.reshape(len(x), -1, 2))[0][:, -1])
        return out


@pytest.mark.parametrize("bound", [None, 0.05])
def test_a_clipped_run_has_no_exploding_gradient_but_a_start(bound: float | None) -> None:
    given = {} if bound is None else {"before": clip_by_global_norm(bound)}
    model = Recurrent()
    optimizer = optim.SGD(model.parameters(), lr=0.05, **given)
    symptoms = [ExplodingGradient(), InitScale()]
    found = report(model, optimizer, batches(12), symptoms=symptoms, forks=0.0)
    name = "exploding_gradient" if bound is None else "init_scale"
    assert [v.symptom for v in found.verdicts] == [name]
