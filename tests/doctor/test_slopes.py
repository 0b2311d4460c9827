"""A gradient is called wrong only where the loss shows that beyond what difference quotients may miss."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests import exact
from tests.doctor.helpers import batches, net
from thalweg.doctor.slopes import check_gradients
from thalweg.doctor.watched import GradientError, Watched

SGD = torch.optim.SGD


def errors(model: nn.Module, loss: object = functional.cross_entropy) -> list[GradientError]:
    own = Watched(model, SGD(model.parameters(), lr=0.1))
    before = [p.detach().clone() for p in model.parameters()]
    found = check_gradients(own, loss, batches(1)[0])  # type: ignore[arg-type]
    exact.same([p.detach() for p in model.parameters()], before, because="weights are put back")
    return found


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.sum(1) - targets).square().mean()


def scaled(by: float, place: int = 0) -> nn.Sequential:
    model = net(nn.Tanh)
    with torch.no_grad():
        model[place].weight.mul_(by)  # type: ignore[operator, union-attr]
    return model


def at_a_kink() -> nn.Sequential:
    """Return units that are all 0, half of them only just: the loss changes on one side of each."""
    model = net(depth=1)
    with torch.no_grad():
        model[0].weight.zero_()  # type: ignore[operator, union-attr]
        model[0].bias.fill_(-1e-9)[::2] = -100.0  # type: ignore[operator, union-attr, index]
    return model


def overflowing() -> list[GradientError]:
    """Look at a loss that is just beyond the largest number, and finite in one direction."""
    model, (x, y) = cut(net()), batches(1)[0]
    largest = torch.finfo(torch.float32).max
    by = largest / float(functional.cross_entropy(model(x), y).detach()) * (1 + 1e-6)
    return errors(model, lambda outputs, targets: functional.cross_entropy(outputs, targets) * by)


def cut(model: nn.Module) -> nn.Module:
    model[0].register_forward_hook(lambda _, __, output: output.detach())  # type: ignore[index]
    return model


def flipped(model: nn.Module) -> nn.Module:
    model[0].weight.register_hook(lambda g: -g)  # type: ignore[index]
    return model


@pytest.mark.parametrize("by", [1.0, 30.0])
def test_a_gradient_that_is_cut_or_turned_is_told_at_any_scale(by: float) -> None:
    assert [e.name for e in errors(cut(scaled(by)))] == ["0.weight"]
    assert [e.name for e in errors(flipped(scaled(by)))] == ["0.weight"]


class Coarse(nn.Module):
    """A network of bfloat16, whose loss moves by steps of its rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = scaled(1e-3).to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x.to(torch.bfloat16))
        return out.float()


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda: errors(scaled(1e6)), id="saturated"),
        pytest.param(lambda: errors(scaled(1e12, 4)), id="diverged"),
        pytest.param(lambda: errors(scaled(1e18, 4), squares), id="at 1e36"),
        pytest.param(overflowing, id="not finite"),
        pytest.param(lambda: errors(at_a_kink()), id="at a kink"),
        pytest.param(lambda: errors(Coarse()), id="in bfloat16"),
        pytest.param(lambda: errors(net(), lambda o, y: squares(o, y) + 1e8), id="on a high level"),
    ],
)
def test_a_model_that_shows_no_slopes_has_no_wrong_gradient(
    look: Callable[[], list[GradientError]],
) -> None:
    assert look() == []
