"""An accumulation that is cut in the middle, and one among schedulers, scalers and other wrappers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from tests.exact import RERUN, RESUMED, differs, same
from tests.meta.problem import BATCHES, MAKES, Net, mse, snapshot, through_file
from thalweg.errors import DivergedError
from thalweg.meta import Accumulate, NonFinite

K = 4


def assert_close(a: list[list[Tensor]], b: list[list[Tensor]]) -> None:
    for u, v in zip(a, b, strict=True):
        for p, q in zip(u, v, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


# -- state -----------------------------------------------------------------------------------------------


def run(net: Net, optimizer: Accumulate, first: int, last: int) -> None:
    for k in range(first, last):
        x, y = BATCHES[k]
        rows = 3 + k % 5
        optimizer.zero_grad()
        mse(net, x[:rows], y[:rows]).backward()
        optimizer.step(weight=rows)


@pytest.mark.parametrize("cut", range(4, 9))
@pytest.mark.parametrize("name", ["torch Adam", "Adam", "chain with decay"])
def test_a_resume_in_the_middle_is_bit_exact(name: str, cut: int) -> None:
    whole = Net()
    optimizer = Accumulate(MAKES[name](whole.parameters()), every=K)
    run(whole, optimizer, 0, cut)
    saved = through_file({"net": whole.state_dict(), "optimizer": optimizer.state_dict()})
    held = copy.deepcopy(saved["optimizer"])
    run(whole, optimizer, cut, 14)

    net = Net(seed=5)
    resumed = Accumulate(MAKES[name](net.parameters()), every=K)
    run(net, resumed, 0, 3)  # its own gradients are forgotten
    net.load_state_dict(saved["net"])
    resumed.load_state_dict(saved["optimizer"])
    assert (resumed.pending, resumed.steps) == (cut % K, cut // K)
    run(net, resumed, cut, 14)
    same(snapshot(net), snapshot(whole), because=RESUMED)
    assert resumed.steps == optimizer.steps == 3
    # what was loaded is a copy: going on has not changed it
    sums, before = saved["optimizer"]["wrappers"][0]["sums"], held["wrappers"][0]["sums"]
    assert sums.keys() == before.keys()
    same(sums, before, because="nothing wrote to it")


def test_a_state_dict_in_memory_does_not_move_on() -> None:
    net = Net()
    optimizer = Accumulate(torch.optim.SGD(net.parameters(), lr=0.1), every=K)
    run(net, optimizer, 0, 2)
    saved = optimizer.state_dict()["wrappers"][0]["sums"]
    assert len(saved) == 4
    before = {k: v.clone() for k, v in saved.items()}
    run(net, optimizer, 2, 4)
    same(saved, before, because="nothing wrote to it")


def test_the_accumulator_is_found_by_name() -> None:
    whole, net = Net(), Net()
    optimizer = Accumulate(torch.optim.SGD(list(whole.named_parameters()), lr=0.1), every=2)
    run(whole, optimizer, 0, 1)
    order = list(net.named_parameters())[::-1]
    resumed = Accumulate(torch.optim.SGD(order, lr=0.1), every=2)
    resumed.load_state_dict(through_file(optimizer.state_dict()))
    run(whole, optimizer, 1, 2)
    run(net, resumed, 1, 2)
    same(
        snapshot(net),
        snapshot(whole),
        because="no tensor looks at another, so their order is nothing to them",
    )
    differs(snapshot(net), snapshot(Net()))


def test_a_state_of_other_shapes_is_refused_before_anything_changes() -> None:
    net = Net()
    optimizer = Accumulate(torch.optim.SGD(net.parameters(), lr=0.1), every=2)
    run(net, optimizer, 0, 1)
    other = Accumulate(torch.optim.SGD(list(Net().parameters())[::-1], lr=0.5), every=2)
    with pytest.raises(ValueError, match=r"accumulated gradient 0 has shape \(5, 4\)"):
        other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == 0.5
    broken = optimizer.state_dict()
    del broken["wrappers"][0]["sums"]
    with pytest.raises(ValueError, match="entry for Accumulate lacks 'sums'"):
        optimizer.load_state_dict(broken)
    assert optimizer.pending == 1


def test_a_copy_in_the_middle_goes_on_alike_and_apart() -> None:
    net = Net()
    optimizer = Accumulate(MAKES["Adam"](net.parameters()), every=K)
    run(net, optimizer, 0, 6)
    net2, optimizer2 = copy.deepcopy((net, optimizer))
    run(net, optimizer, 6, 14)
    run(net2, optimizer2, 6, 14)
    same(snapshot(net), snapshot(net2), because=RESUMED)
    assert optimizer2.steps == 3


# -- with others -----------------------------------------------------------------------------------------


def test_schedulers_count_steps_by_stepped() -> None:
    net, twin = Net(), Net()
    optimizer = Accumulate(torch.optim.SGD(net.parameters(), lr=0.1), every=2)
    alone = torch.optim.SGD(twin.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)
    other = torch.optim.lr_scheduler.StepLR(alone, 2, gamma=0.1)
    for x, y in BATCHES[:6]:
        for half in (slice(0, 6), slice(6, 12)):
            optimizer.zero_grad()
            mse(net, x[half], y[half]).backward()
            optimizer.step()
            if optimizer.stepped:
                schedule.step()
        alone.zero_grad()
        mse(twin, x, y).backward()
        alone.step()
        other.step()
        assert optimizer.param_groups[0]["lr"] == alone.param_groups[0]["lr"]
        assert_close([snapshot(net)], [snapshot(twin)])
    assert alone.param_groups[0]["lr"] == pytest.approx(1e-4)


@pytest.mark.parametrize("overflow", [False, True])
def test_with_a_loss_scaler_each_gradient_is_unscaled_once(overflow: bool) -> None:
    nets = Net().float(), Net().float()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer, alone = (
        Accumulate(torch.optim.SGD(net.parameters(), lr=0.1), every=3) for net in nets
    )
    for k, (x, y) in enumerate(BATCHES[:7]):
        x, y = x.float(), y.float()
        optimizer.zero_grad()
        spoilt = overflow and k == 1
        scaler.scale(mse(nets[0], x, y) * (float("inf") if spoilt else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
        if not spoilt:  # a micro-batch that the scaler leaves out is as if it had not come
            mse(nets[1], x, y).backward()
            alone.step()
            alone.zero_grad()
    assert alone.steps == optimizer.steps == 2
    assert alone.pending == optimizer.pending == (0 if overflow else 1)
    for a, b in zip(*map(snapshot, nets), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_a_policy_outside_leaves_out_one_micro_batch() -> None:
    net, twin = Net(), Net()
    optimizer = NonFinite(Accumulate(torch.optim.SGD(net.parameters(), lr=0.1), every=2), "skip")
    alone = Accumulate(torch.optim.SGD(twin.parameters(), lr=0.1), every=2)
    for k, (x, y) in enumerate(BATCHES[:5]):
        optimizer.zero_grad()
        (mse(net, x, y) * (float("nan") if k == 1 else 1.0)).backward()
        optimizer.step(weight=len(y))
        if k != 1:
            alone.zero_grad()
            mse(twin, x, y).backward()
            alone.step(weight=len(y))
            assert optimizer.stepped is alone.stepped
    assert optimizer.skipped == 1
    assert alone.steps == 2
    same(snapshot(net), snapshot(twin), because=RERUN)


def test_a_policy_inside_leaves_out_the_whole_step() -> None:
    net = Net()
    before = snapshot(net)
    optimizer = Accumulate(NonFinite(torch.optim.SGD(net.parameters(), lr=0.1), "skip"), every=2)
    for scale in (float("nan"), 1.0):
        (mse(net, *BATCHES[0]) * scale).backward()
        optimizer.step()
    assert not optimizer.stepped
    assert (optimizer.steps, optimizer.pending) == (0, 0)
    same(snapshot(net), before, because="nothing wrote to it")


def test_when_the_step_inside_raises_gradients_are_there_and_the_next_step_begins_anew() -> None:
    net = Net()
    before = snapshot(net)
    optimizer = Accumulate(NonFinite(torch.optim.SGD(net.parameters(), lr=0.1), "raise"), every=2)
    (mse(net, *BATCHES[0]) * float("inf")).backward()
    optimizer.step()
    mse(net, *BATCHES[0]).backward()
    grads = [p.grad for p in net.parameters()]
    with pytest.raises(DivergedError):
        optimizer.step()
    assert all(p.grad is g for p, g in zip(net.parameters(), grads, strict=True))
    assert optimizer.pending == 0
    same(snapshot(net), before, because="nothing wrote to it")


def test_step_returns_the_loss_of_each_micro_batch() -> None:
    net = Net()
    optimizer = Accumulate(torch.optim.SGD(net.parameters(), lr=0.1), every=2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = mse(net, *BATCHES[0])
        loss.backward()
        return loss

    with torch.no_grad():
        losses = [optimizer.step(closure).item() for _ in range(3)]
    assert losses[0] == losses[1] > losses[2]
