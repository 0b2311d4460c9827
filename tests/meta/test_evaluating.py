"""A wrapper passes on the point of evaluation of the optimizer inside, and takes no step from there."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, differs, same
from tests.meta.problem import BATCHES, Net, mse, snapshot
from tests.meta.wrappers import run, wrappers
from thalweg import optim
from thalweg.errors import EngineError
from thalweg.meta import SAM, Accumulate, NonFinite
from thalweg.rules import ema


def averaged(net: nn.Module) -> Any:
    return optim.SGD(net.parameters(), lr=0.1, after=ema(0.9))


@wrappers
def test_the_average_inside_is_reached(wrap: Any) -> None:
    net = Net()
    inside = averaged(net)
    optimizer = wrap(inside)
    run(net, optimizer, 0, 6)
    there = snapshot(net)
    with inside.evaluating():
        average = snapshot(net)
    differs(there, average)
    with optimizer.evaluating():
        same(snapshot(net), average, because=RERUN)
    same(snapshot(net), there, because="a copy was put back")
    optimizer.eval()
    same(snapshot(net), average, because=RERUN)
    optimizer.train()
    same(snapshot(net), there, because="a copy was put back")


@wrappers
def test_an_optimizer_that_has_none_is_named(wrap: Any) -> None:
    optimizer = wrap(torch.optim.SGD(Net().parameters(), lr=0.1))
    with pytest.raises(
        EngineError, match=r"wraps SGD, which has no evaluating\(\): it keeps no average"
    ):
        optimizer.evaluating()


@wrappers
@pytest.mark.parametrize("make", [torch.optim.SGD, optim.SGD, torch.optim.Adafactor])
def test_without_an_average_there_is_nowhere_to_go(wrap: Any, make: Any) -> None:
    """Training loops call eval() and train() on what has them, around any optimizer."""
    net, twin = Net(), Net()
    optimizer, other = wrap(make(net.parameters(), lr=0.1)), wrap(make(twin.parameters(), lr=0.1))
    for k in range(4):
        optimizer.train()
        run(net, optimizer, k, k + 1)
        run(twin, other, k, k + 1)
        optimizer.eval()
        optimizer.eval()
        same(snapshot(net), snapshot(twin), because="the same instructions on the same shapes")


def test_an_optimizer_of_others_is_told() -> None:
    """One that has such methods of its own, as schedule-free optimizers of other packages."""

    class Averaging(torch.optim.SGD):
        calls: ClassVar[list[str]] = []

        def eval(self) -> None:
            self.calls.append("eval")

        def train(self) -> None:
            self.calls.append("train")

    optimizer = NonFinite(Averaging(Net().parameters(), lr=0.1))
    optimizer.eval()
    optimizer.train()
    assert Averaging.calls == ["eval", "train"]


@wrappers
def test_a_step_from_the_average_is_refused_before_anything_happens(wrap: Any) -> None:
    net = Net()
    optimizer = wrap(averaged(net))
    run(net, optimizer, 0, 6)
    calls: list[int] = []

    def closure() -> Tensor:
        calls.append(1)
        return torch.zeros(())

    with optimizer.evaluating():
        before = snapshot(net)
        with pytest.raises(EngineError, match=r"Call optimizer\.train\(\) before the next step"):
            optimizer.step(closure)
        same(snapshot(net), before, because="nothing wrote to it")
    assert calls == []


def test_micro_batches_outlast_a_refused_step() -> None:
    ends = []
    for refused in (False, True):
        net = Net()
        optimizer = Accumulate(averaged(net), every=2)
        for k in range(6):
            optimizer.zero_grad()
            mse(net, *BATCHES[k]).backward()
            if refused and k in (1, 4):
                pending = optimizer.pending
                optimizer.eval()
                for act in (optimizer.step, optimizer.flush):
                    with pytest.raises(EngineError, match="where the model is evaluated"):
                        act()
                assert optimizer.pending == pending
                optimizer.train()
            optimizer.step()
        assert (optimizer.steps, optimizer.pending) == (3, 0)
        ends.append(snapshot(net))
    same(*ends, because=RERUN)


def test_a_gradient_that_is_not_finite_is_not_counted_there() -> None:
    net = Net()
    optimizer = NonFinite(averaged(net))
    run(net, optimizer, 0, 2)
    net.v.grad = torch.full_like(net.v, torch.nan)
    with optimizer.evaluating(), pytest.raises(EngineError, match="where the model is evaluated"):
        optimizer.step()
    assert (optimizer.found, optimizer.skipped) == (0, 0)


def test_between_two_passes_there_is_no_evaluation() -> None:
    net = Net()
    optimizer = SAM(averaged(net))
    run(net, optimizer, 0, 2)
    mse(net, *BATCHES[2]).backward()
    optimizer.first_step()
    with pytest.raises(RuntimeError, match="perturbed point"):
        optimizer.eval()
    optimizer.restore()
    with optimizer.evaluating(), pytest.raises(EngineError, match="where the model is evaluated"):
        optimizer.first_step()
