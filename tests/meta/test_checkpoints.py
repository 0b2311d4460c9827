"""States of wrapped optimizers, saved, loaded and copied."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from tests.exact import RESUMED, same
from tests.meta.problem import BATCHES, Make, Net, mse, snapshot, through_file
from tests.meta.wrappers import (
    insides,
    run,
    wrappers,
)
from thalweg.meta import ASAM, SAM, Accumulate, NonFinite, Wrapper

# -- checkpoints and copies ---------------------------------------------------------------------------------


@wrappers
@insides
@pytest.mark.parametrize("cut", [3, 4])
def test_resume_is_bit_exact(wrap: Callable[..., Wrapper], make: Make, cut: int) -> None:
    whole = Net()
    optimizer = wrap(make(whole.parameters()))
    schedule = lr_scheduler.StepLR(optimizer, 3)
    run(whole, optimizer, 0, cut, schedule)
    saved = through_file([o.state_dict() for o in (whole, optimizer, schedule)])
    run(whole, optimizer, cut, 10, schedule)

    net = Net(seed=7)
    resumed = wrap(make(net.parameters()))
    again = lr_scheduler.StepLR(resumed, 3)
    for o, state in zip((net, resumed, again), saved, strict=True):
        o.load_state_dict(state)
    run(net, resumed, cut, 10, again)
    same(snapshot(net), snapshot(whole), because=RESUMED)
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@wrappers
def test_a_state_loads_with_and_without_the_wrapper(wrap: Callable[..., Wrapper]) -> None:
    net, twin = Net(), Net()
    optimizer = wrap(torch.optim.Adam(net.parameters(), lr=0.1))
    alone = torch.optim.Adam(twin.parameters(), lr=0.2)
    run(net, optimizer, 0, 2)
    alone.load_state_dict(optimizer.state_dict())
    assert alone.param_groups[0]["lr"] == 0.1
    same(alone.state[twin.W]["exp_avg"], optimizer.state[net.W]["exp_avg"], because="a copy")
    run(twin, alone, 0, 3)
    optimizer.load_state_dict(alone.state_dict())
    assert int(optimizer.state[net.W]["step"]) == int(alone.state[twin.W]["step"]) >= 3
    run(net, optimizer, 2, 4)


def test_nested_wrappers_each_find_their_own() -> None:
    def make() -> NonFinite:
        return NonFinite(Accumulate(NonFinite(torch.optim.SGD(net.parameters(), lr=0.1)), every=2))

    net = Net()
    optimizer = make()
    for scale in (float("nan"), 1.0, 1.0, 1.0):
        net.zero_grad()
        (mse(net, *BATCHES[0]) * scale).backward()
        optimizer.step()
    middle: Any = optimizer.optimizer
    middle.optimizer.found = 7
    saved = through_file(optimizer.state_dict())
    assert [entry["name"] for entry in saved["wrappers"]] == [
        "NonFinite",
        "Accumulate",
        "NonFinite",
    ]
    loaded = make()
    loaded.load_state_dict(saved)
    inner: Any = loaded.optimizer
    assert (loaded.found, inner.pending, inner.steps, inner.optimizer.found) == (1, 1, 1, 7)
    with_sam = SAM(make())
    with_sam.load_state_dict(saved)
    assert with_sam.optimizer.found == 1  # type: ignore[attr-defined]


@wrappers
def test_a_state_of_other_groups_is_refused_and_changes_nothing(
    wrap: Callable[..., Wrapper],
) -> None:
    net = Net()
    optimizer = wrap(torch.optim.SGD(net.parameters(), lr=0.1))
    other = wrap(torch.optim.SGD([{"params": [p]} for p in net.parameters()], lr=0.2))
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.1


@wrappers
@insides
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_go_on_alike_and_apart(
    wrap: Callable[..., Wrapper], make: Make, copied: Callable[[Any], Any]
) -> None:
    net = Net()
    optimizer = wrap(make(net.parameters()))
    lr_scheduler.StepLR(optimizer, 100)  # hangs a step of its own on the instance
    run(net, optimizer, 0, 3)
    net2, optimizer2 = copied((net, optimizer))
    at, seen = snapshot(net), []
    optimizer.register_step_pre_hook(lambda o, *_: seen.append(o))
    run(net2, optimizer2, 3, 8)
    same(snapshot(net), at, because="nothing wrote to it")
    run(net, optimizer, 3, 8)
    same(snapshot(net2), snapshot(net), because=RESUMED)
    assert optimizer2.optimizer is not optimizer.optimizer
    assert seen == [optimizer] * 5
    assert not copy.deepcopy(optimizer)._optimizer_step_pre_hooks  # as of PyTorch's own
    schedule = lr_scheduler.StepLR(optimizer2, 1)  # a copy takes a scheduler of its own
    run(net2, optimizer2, 8, 9, schedule)
    assert schedule.get_last_lr() != [g["lr"] for g in optimizer.param_groups]


def test_repr() -> None:
    inner = torch.optim.SGD(Net().parameters(), lr=0.1)
    text = repr(SAM(NonFinite(Accumulate(inner, every=4), "skip", limit=3)))
    for part in (
        "SAM (rho=0.05, adaptive=False\n    NonFinite (policy='skip', limit=3\n",
        "Accumulate (every=4, reduction='mean'\n            SGD (",
        "lr: 0.1",
    ):
        assert part in text
    assert "eta=0.01" in repr(ASAM(inner))
