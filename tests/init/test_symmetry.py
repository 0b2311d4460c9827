"""Hidden units that begin alike are found, up to exchanges and signs; others are not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.exact import differs, same
from thalweg import TaskError, init

ONE = "layer '0', 2 units: 1, 3"


def net(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(4, 6), activation(), nn.Linear(6, 5), activation(), nn.Linear(5, 2))
    )


def twinned(model: nn.Sequential, sign: float = 1.0) -> nn.Sequential:
    with torch.no_grad():
        model[0].weight[1] = sign * model[0].weight[3]
        model[0].bias[1] = sign * model[0].bias[3]
        model[2].weight[:, 1] = sign * model[2].weight[:, 3]
    return model


def groups(model: nn.Module) -> list[str]:
    return [str(group) for group in init.symmetric_units(model)]


def test_drawn_units_differ_and_equal_ones_are_named() -> None:
    assert groups(net()) == []
    assert groups(twinned(net())) == [ONE]
    with pytest.raises(TaskError, match=r"begin alike.*layer '0', 2 units: 1, 3"):
        init.check_symmetry(twinned(net()))
    init.check_symmetry(net())


def test_a_sign_counts_before_an_even_activation_alone() -> None:
    assert groups(twinned(net(nn.Tanh), -1)) == [ONE]
    assert groups(twinned(net(nn.ReLU), -1)) == []


def test_another_outgoing_weight_or_bias_breaks_the_symmetry() -> None:
    for k, where in ((0, "bias"), (2, "weight")):
        model = twinned(net())
        with torch.no_grad():
            tensor: Tensor = getattr(model[k], where)
            tensor[..., 1] += 0.5
        assert groups(model) == []


def test_units_are_alike_up_to_an_exchange_of_others() -> None:
    """Rows of the second layer that are equal once the twins of the first are exchanged."""
    model = twinned(net())
    with torch.no_grad():
        second, third = model[2], model[4]
        second.weight[:, 3] += 0.25  # unit 0 sees the twins so, unit 1 the other way round
        second.weight[1] = second.weight[0]
        second.weight[1, [1, 3]] = second.weight[0, [3, 1]]
        second.bias[1] = second.bias[0]
        second.weight[2:, 3] = second.weight[2:, 1]
        third.weight[:, 1] = third.weight[:, 0]
    assert groups(model) == [ONE, "layer '2', 2 units: 0, 1"]


def test_channels_are_units_of_a_convolution() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3))
    )
    assert groups(model) == []
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = model[0].weight[1], model[0].bias[1]
        places = model[3].weight.view(3, 4, 16)
        places[:, 2] = places[:, 1]
    assert groups(model) == ["layer '0', 2 units: 1, 2"]


def test_symmetric_units_stay_so_and_the_report_says_it() -> None:
    model = net()
    for p in model.parameters():
        nn.init.constant_(p, 0.3)
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        model(x).square().mean().backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad  # type: ignore[operator]
                p.grad = None
    rows = model[0].weight.detach()
    torch.testing.assert_close(rows, rows[:1].expand_as(rows))
    constant = net()
    report = init.apply(constant, init.find_strategy("ones") | init.bias())
    assert any("layer '0', 6 units: 0, 1, 2" in remark for remark in report.remarks)
    same(constant[0].bias.detach(), torch.zeros(6), because="set to 0")
    differs(constant[0].weight.detach(), rows)
