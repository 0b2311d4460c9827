"""Residual branches: their ends, their scales, Fixup."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from thalweg import TaskError, init


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)
        self.alpha = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.alpha * self.b(self.a(x).relu())
        return out


def net(blocks: int = 4, width: int = 64) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(blocks)), nn.Linear(width, 3))


def moved(model: nn.Sequential) -> float:
    """How much the blocks add to the square of the length."""
    x = torch.randn(50, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return float(model[:-1](x).square().sum() / x.square().sum() - 1)


def test_the_last_layer_of_a_branch_is_scaled_by_the_number_of_branches() -> None:
    shallow, deep = net(2), net(32)
    for model in (shallow, deep):
        init.apply(model, init.he() | init.bias())
    before = moved(deep)
    assert before > 1e6 * moved(shallow)
    for model in (shallow, deep):
        report = init.apply(model, init.he() | init.bias() | init.scaled_branches())
    # each block multiplies by about 1 + 1/L: e − 1 for many
    assert 1 < moved(shallow) < 2
    assert 1 < moved(deep) < 2.5
    row = next(row for row in report.rows if row.name == "0.b.weight")
    assert row.strategy == "he|scaled_branches"
    assert row.after == pytest.approx((1 / 64) ** 0.5 / 32**0.5, rel=0.05)


def test_zero_branches_and_a_zero_multiplier_make_the_identity() -> None:
    for strategy in (init.zero_branches(), init.parameter("*.alpha", 0.0)):
        model = net()
        init.apply(model, init.he() | strategy)
        assert moved(model) == pytest.approx(0, abs=1e-6)
    with pytest.raises(TaskError, match="no parameter is called 'alpha'"):
        init.apply(net(), init.parameter("alpha"))


def test_fixup_scales_by_the_layers_of_a_branch() -> None:
    model = net(9)
    init.apply(model, init.he() | init.fixup())
    std = float(model[0].a.weight.detach().std())  # type: ignore[union-attr,operator]
    assert std == pytest.approx((2 / 64) ** 0.5 / 9**0.5, rel=0.05), "L^(−1/(2·2 − 2))"
    assert not model[0].b.weight.any()  # type: ignore[union-attr,operator]
    assert not model[9].weight.any()
    assert not model[9].bias.any()


def test_a_model_without_branches_has_no_ends() -> None:
    with pytest.raises(TaskError, match="scaled_branches matches nothing: it is for branch_end"):
        init.apply(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), init.scaled_branches())
