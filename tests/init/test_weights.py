"""What is drawn: variances within their sampling errors, orthogonality, exact numbers of nonzeros."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from thalweg import init
from thalweg.init import InitStrategy
from thalweg.init.strategies import matrices

INPUTS, UNITS = 500, 800
KURTOSIS = {"normal": 3.0, "uniform": 1.8, "truncated": 3.0}
"""Fourth moment over the square of the variance; a cut tail has less than the normal's."""


def drawn(
    strategy: InitStrategy, inputs: int = INPUTS, units: int = UNITS, seed: int = 0
) -> Tensor:
    """The weight of a layer with a ReLU behind it."""
    net = nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, 1))
    init.apply(net, strategy, seed=seed)
    return net[0].weight.detach().double()


def spread(kurtosis: float, count: int) -> float:
    """Five standard errors of a sample variance, relative to the variance."""
    return 5 * math.sqrt((kurtosis - 1) / count)


VARIANCES: dict[str, tuple[InitStrategy, float, str]] = {
    "scaled_uniform": (init.scaled_uniform(), 1 / (3 * INPUTS), "uniform"),
    "scaled_normal": (init.scaled_normal(), 1 / INPUTS, "normal"),
    "scaled_normal std": (init.scaled_normal(0.02), 0.02**2, "normal"),
    "truncated_normal": (init.truncated_normal(0.02), 0.02**2, "truncated"),
    "truncated_normal cut 1": (init.truncated_normal(0.02, cut=1.0), 0.02**2, "truncated"),
    "lecun": (init.lecun(), 1 / INPUTS, "normal"),
    "glorot": (init.glorot(), 2 / (INPUTS + UNITS), "uniform"),
    "glorot normal": (init.glorot(distribution="normal"), 2 / (INPUTS + UNITS), "normal"),
    "he": (init.he(), 2 / INPUTS, "normal"),
    "he uniform": (init.he(distribution="uniform"), 2 / INPUTS, "uniform"),
    "he truncated": (init.he(distribution="truncated"), 2 / INPUTS, "truncated"),
    "he leaky": (init.he(slope=0.5), 2 / (1.25 * INPUTS), "normal"),
    "he fan_out": (init.he(fan="fan_out"), 2 / UNITS, "normal"),
    "he average": (init.he(fan="average"), 4 / (INPUTS + UNITS), "normal"),
    "he gain": (init.he(gain=3.0), 9 / INPUTS, "normal"),
}


@pytest.mark.parametrize("name", VARIANCES)
def test_mean_and_variance_are_as_stated(name: str) -> None:
    strategy, variance, distribution = VARIANCES[name]
    w = drawn(strategy)
    assert abs(w.mean()) < 5 * math.sqrt(variance / w.numel())
    bound = spread(KURTOSIS[distribution], w.numel())
    assert abs(w.square().mean() / variance - 1) < bound


def test_uniform_and_truncated_draws_have_bounds() -> None:
    assert drawn(init.scaled_uniform()).abs().max() <= 1 / math.sqrt(INPUTS)
    assert drawn(init.glorot()).abs().max() <= math.sqrt(6 / (INPUTS + UNITS))
    inside = math.erf(math.sqrt(2))
    kept = 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / inside
    assert drawn(init.truncated_normal(1.0)).abs().max() <= 2 / math.sqrt(kept) + 1e-6
    assert drawn(init.scaled_normal(1.0)).abs().max() > 3


TWINS: dict[str, tuple[InitStrategy, Callable[[Tensor], Tensor]]] = {
    "he": (init.he(), lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
    "he uniform": (
        init.he(distribution="uniform"),
        lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
    ),
    "he fan_out": (
        init.he(fan="fan_out"),
        lambda w: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"),
    ),
    "he leaky": (
        init.he(slope=0.3),
        lambda w: nn.init.kaiming_normal_(w, a=0.3, nonlinearity="leaky_relu"),
    ),
    "glorot": (init.glorot(), nn.init.xavier_uniform_),
    "glorot normal": (init.glorot(distribution="normal"), nn.init.xavier_normal_),
    "lecun": (init.lecun(), lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")),
}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_the_distributions_are_those_of_torch(name: str, kind: str) -> None:
    """Variance and fourth moment of both agree within five standard errors of their difference."""
    ours, theirs = TWINS[name]
    layer: nn.Module = nn.Linear(300, 500) if kind == "linear" else nn.Conv2d(40, 100, 5)
    net = nn.Sequential(layer, nn.ReLU())
    init.apply(net, ours.on("0"), x=None)
    a = layer.weight.detach().double()  # type: ignore[union-attr,operator]
    torch.manual_seed(0)
    b = theirs(torch.empty(a.shape, dtype=torch.float64))
    assert abs(a.var() / b.var() - 1) < math.sqrt(2) * spread(3.0, a.numel())
    for moment in (a, b):
        moment /= moment.std()
    # of a normal distribution the fourth power has the variance 105 − 9
    assert abs((a**4).mean() - (b**4).mean()) < 5 * math.sqrt(2 * 96 / a.numel())


@pytest.mark.parametrize(("inputs", "units"), [(60, 60), (60, 20), (20, 60)])
@pytest.mark.parametrize("name", ["orthogonal", "gram_schmidt"])
def test_orthogonal_weights_are(name: str, inputs: int, units: int) -> None:
    strategy = init.find_strategy(f"{name}:gain=1.5,aspect=false")
    assert isinstance(strategy, InitStrategy)
    w = drawn(strategy, inputs, units)
    square = w @ w.T if units <= inputs else w.T @ w
    eye = 1.5**2 * torch.eye(min(units, inputs), dtype=torch.float64)
    torch.testing.assert_close(square, eye, atol=1e-5, rtol=0)  # kept in float32


def test_a_layer_with_more_units_than_inputs_gets_a_gain_for_it() -> None:
    x = torch.randn(20_000, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    plain = drawn(init.orthogonal(gain=1.0, aspect=False), 5, 20)
    kept = drawn(init.orthogonal(gain=1.0), 5, 20)
    # 20 000 · 5 independent squares have a mean within 5 · √(2/100 000)
    assert abs((x @ plain.T).square().mean() - 0.25) < 0.25 * 0.023
    assert abs((x @ kept.T).square().mean() - 1) < 0.023


def test_orthogonal_matrices_are_uniform_among_all() -> None:
    """The trace of a Haar matrix has mean 0 and variance 1; QR without the signs has a mean far from 0."""
    generator = torch.Generator().manual_seed(0)
    traces = torch.stack([matrices.orthogonal(4, 4, generator).trace() for _ in range(400)])
    assert abs(traces.mean()) < 5 / math.sqrt(400)
    assert abs(traces.var() - 1) < 5 * math.sqrt(2 / 400)


def test_a_delta_orthogonal_convolution_keeps_the_norm_of_a_picture() -> None:
    conv = nn.Conv2d(8, 16, 3, padding=1, padding_mode="circular", bias=False)
    x = torch.randn(3, 8, 9, 9, generator=torch.Generator().manual_seed(0))
    init.apply(conv, init.delta_orthogonal())
    assert float((conv(x).norm() / x.norm()).detach()) == pytest.approx(1, abs=1e-5)
    init.apply(conv, init.orthogonal())
    constant = conv.weight.detach().sum((2, 3))
    values = torch.linalg.svdvals(constant)
    assert values.max() / values.min() > 2, "an orthogonal matrix of all taps is not an isometry"


def test_a_sparse_layer_has_exactly_so_many_weights_a_unit() -> None:
    for nonzeros in (1, 15):
        w = drawn(init.sparse(nonzeros))
        assert (w != 0).sum(1).tolist() == [nonzeros] * UNITS
        count = UNITS * nonzeros
        assert abs(w.square().sum() / UNITS / 2 - 1) < spread(3.0, count)
    assert (drawn(init.sparse(15), 10) != 0).sum(1).tolist() == [10] * UNITS
    assert abs(drawn(init.sparse(4, std=0.5)).square().sum() / UNITS - 1) < spread(3.0, 4 * UNITS)


@pytest.mark.parametrize(
    ("width", "gain"),
    [(64, math.sqrt(2) * math.exp(1.2 / 61.6)), (6, math.sqrt(2) * math.exp(1.2 / 3.6))],
)
def test_the_gain_of_the_random_walk_is_the_formula_s(width: int, gain: float) -> None:
    net = nn.Sequential(nn.Linear(width, 9), nn.ReLU(), nn.Linear(width, 2))
    report = init.apply(net, init.random_walk())
    assert report.rows[0].gain == pytest.approx(gain)
    assert report.rows[1].gain == pytest.approx(math.exp(1 / (2 * width)))


def test_he_drifts_and_the_random_walk_does_not() -> None:
    """The mean of log‖h‖ after 50 ReLU layers of 64 units, over 200 networks: He −1.00, the walk's about
    0.
    """
    gains = []
    for strategy in (init.he(), init.random_walk()):
        net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        gains.append(init.apply(net, strategy).rows[0].gain)
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(200, 64, 1, generator=generator)
    start = h.norm(dim=1).log()
    for _ in range(50):
        w = torch.randn(200, 64, 64, generator=generator) * (gains[0] or 0) / 8
        h = (w @ h).relu()
    drift = float((h.norm(dim=1).log() - start).mean())
    # ReLU halves the first square, so the last layer's outputs are that much shorter; a run spreads by
    # √(50·5/(4·64)) ≈ 1, the mean of 200 by .07
    assert abs(drift - -1.00) < 0.36 + 0.1
    walk = drift + 50 * math.log((gains[1] or 0) / (gains[0] or 0))
    assert abs(walk) < 0.36 + 0.1


def test_each_gate_of_a_recurrent_layer_is_orthogonal() -> None:
    net = nn.LSTM(7, 5)
    init.apply(net, init.orthogonal())
    for gate in net.weight_hh_l0.detach().chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(5), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: init.he(gain=-1.0), "^init.he: gain must be a number > 0; got -1.0"),
        (lambda: init.he(gain=1.0, slope=0.1), "a gain or a slope"),
        (lambda: init.he(distribution="nrmal"), "got 'nrmal'. Did you mean 'normal'"),  # type: ignore[arg-type]
        (lambda: init.he(fan="fanin"), "Did you mean 'fan_in'"),  # type: ignore[arg-type]
        (lambda: init.bias("big"), "^init.bias: .*; got bias:value=big"),  # type: ignore[arg-type]
        (lambda: init.sparse(0), "^init.sparse: nonzeros must be an integer ≥ 1; got 0"),
        (lambda: init.truncated_normal(0.0), "^init.truncated_normal: std must be a number > 0"),
        (lambda: init.he(gian=1.0), "no argument 'gian'. Did you mean 'gain'"),  # type: ignore[call-arg]
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], InitStrategy], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drawn(make())
