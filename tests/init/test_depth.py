"""What a start is for: deep nets keep variance, tell inputs apart, learn in as many steps as shallow ones."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from thalweg import init
from thalweg.init import InitStrategy


def relu_net(
    depth: int, width: int, start: InitStrategy | None, *, bias: bool = False
) -> nn.Sequential:
    """A net of layers with a ReLU behind each; without a start PyTorch's own, which draws biases, too."""
    torch.manual_seed(0)
    layers = [(nn.Linear(width, width, bias=bias), nn.ReLU()) for _ in range(depth)]
    net = nn.Sequential(*itertools.chain(*layers))
    if start is not None:
        init.apply(net, start, seed=0)
    return net


def outputs(net: nn.Sequential, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows drawn from a normal distribution, and what the net makes of them in float64."""
    x = torch.randn(rows, net[0].in_features, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        return x, net.double()(x)


def test_he_keeps_the_variance_through_50_relu_layers() -> None:
    """log(‖h‖²/‖x‖²) is a sum of 50 terms of variance 5/256, so it lies within five times √(50·5/256) ≈ 1;
    half the variance a layer loses 50·log 2 = 34.7 of it."""
    x, h = outputs(relu_net(50, 256, init.he()), 32)
    assert abs(math.log(float(h.square().mean() / x.square().mean()))) < 5.5
    x, h = outputs(relu_net(50, 256, init.he(gain=1.0)), 32)
    assert math.log(float(h.square().mean() / x.square().mean())) < -25


def test_by_pytorchs_own_start_a_deep_net_has_one_output_for_all_inputs() -> None:
    """What is left behind 50 layers is their biases': the spread over inputs is a few float32 roundings."""

    def spread(start: InitStrategy | None) -> float:
        h = outputs(relu_net(50, 256, start, bias=True), 32)[1]
        return float(h.std(0).norm() / h.mean(0).norm())

    assert spread(None) < 1e-5
    assert spread(init.he()) > 1e-2


def test_the_random_walk_drifts_by_nothing_through_1000_layers() -> None:
    """log‖h‖ of 16 units is a walk of 1000 steps of variance 5/(4·16), whose sum lies within five times 8.8.

    By He's gain it drifts by −5/(4·16) a layer, by −78 in all.
    """

    def drift(start: InitStrategy) -> float:
        x, h = outputs(relu_net(1000, 16, start), 1)
        return math.log(float(h.norm() / x.norm()))

    assert abs(drift(init.random_walk())) < 44
    assert drift(init.random_walk(gain=math.sqrt(2))) < -44


def steps_to_learn(depth: int, start: InitStrategy) -> int:
    """Steps of gradient descent, at a rate of 0.3/depth, until a linear net is two orthonormal rows."""
    torch.manual_seed(0)
    sizes = [*[32] * depth, 2]
    layers = (nn.Linear(m, n, bias=False) for m, n in itertools.pairwise(sizes))
    net = nn.Sequential(*layers).double()
    init.apply(net, start, seed=0)
    eye = torch.eye(32, dtype=torch.float64)
    wanted = torch.linalg.qr(torch.randn(32, 2, dtype=torch.float64))[0]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3 / depth)
    for step in range(200):
        loss = 0.5 * (net(eye) - wanted).square().sum()
        if float(loss.detach()) < 1e-3:
            return step
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 200


@pytest.mark.full
def test_from_orthogonal_weights_a_deep_linear_net_learns_in_as_many_steps_as_a_shallow_one() -> (
    None
):
    """Measured: 26 and 31 steps of 4 and 64 layers; from normal weights 31, and no end."""
    shallow, deep = (steps_to_learn(depth, init.orthogonal()) for depth in (4, 64))
    assert deep < 1.5 * shallow < 75
    assert steps_to_learn(64, init.lecun()) > 2 * deep
