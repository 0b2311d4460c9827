from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.exact import same
from thalweg.errors import TaskError
from thalweg.objective import L1, L2, Cost, penalized


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()


def test_values_against_the_formula() -> None:
    net = _net()
    weights = [net[0].weight, net[2].weight]  # type: ignore[index]
    assert L2(0.3)(net).item() == pytest.approx(0.3 * sum((w**2).sum().item() for w in weights))
    assert L1(0.3)(net).item() == pytest.approx(0.3 * sum(w.abs().sum().item() for w in weights))


def test_gradient_of_l2_is_twice_strength_times_w_exactly() -> None:
    net = _net()
    L2(0.3)(net).backward()
    weight = net[0].weight  # type: ignore[index]
    same(weight.grad, 0.3 * 2 * weight, because="doubling is exact: one rounding in any order")
    assert net[0].bias.grad is None  # type: ignore[index]


def test_gradient_of_l1_is_strength_times_sign() -> None:
    net = _net()
    L1(0.3)(net).backward()
    weight = net[0].weight  # type: ignore[index]
    same(weight.grad, 0.3 * weight.sign(), because="a product with a sign is exact")


def test_include_biases_takes_every_parameter() -> None:
    net = _net()
    assert len(penalized(net)) == 2
    assert len(penalized(net, include_biases=True)) == 6
    assert L2(1.0, include_biases=True)(net) > L2(1.0)(net)


def test_what_counts_as_a_bias() -> None:
    assert len(penalized(nn.LSTM(2, 3))) == 2  # weight_ih, weight_hh; not bias_ih, bias_hh
    attention = nn.MultiheadAttention(4, 2)
    names = {
        name
        for name, p in attention.named_parameters()
        if any(p is q for q in penalized(attention))
    }
    assert names == {"in_proj_weight", "out_proj.weight"}


def test_a_weight_that_is_a_vector_is_penalised() -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))
            self.bias = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.w + self.bias

    assert L2(1.0)(Linear()).item() == 3.0


def test_frozen_and_shared_parameters() -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    assert len(penalized(net)) == 1
    net[0].weight.requires_grad_(False)
    assert penalized(net) == []
    assert L2(1.0)(net).item() == 0.0


def test_sums() -> None:
    net = _net()
    both = L1(0.1) + L2(0.2) + L2(0.3, include_biases=True)
    expected = L1(0.1)(net) + L2(0.2)(net) + L2(0.3, include_biases=True)(net)
    assert both(net).item() == pytest.approx(expected.item(), rel=1e-14)
    assert len(both.terms) == 3


def test_a_function_is_a_penalty_too() -> None:
    net = _net()
    cost = Cost("mse", penalty=L2(0.1) + (lambda model: model[0].bias.square().sum()))
    bound = cost.bind_penalty(net)
    assert bound is not None
    assert bound().item() == pytest.approx(cost.penalty_value(net), rel=1e-6)
    assert cost.penalty_value(net) > L2(0.1)(net)


@pytest.mark.parametrize("strength", [-1.0, math.nan, math.inf, "a"])
def test_bad_strengths(strength: float) -> None:
    with pytest.raises(TaskError, match="finite number ≥ 0"):
        L2(strength)
    with pytest.raises(TaskError, match="finite number ≥ 0"):
        L1(strength)


def test_what_cannot_be_added() -> None:
    with pytest.raises(TaskError, match="function of the model"):
        L2(1.0) + 3  # type: ignore[operator]
