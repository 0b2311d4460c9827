"""Each wrapper is a whole `torch.optim.Optimizer`: groups, schedulers, hooks; and what it wraps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

import thalweg
from tests.exact import RERUN, differs, same
from tests.meta.problem import BATCHES, Make, Net, mse, snapshot, through_file
from tests.meta.wrappers import (
    Optimizer,
    closure_of,
    insides,
    run,
    transparent,
    wrappers,
)
from thalweg import optim
from thalweg.meta import ASAM, SAM, Accumulate, NonFinite, Wrapper
from thalweg.rules import adam

# -- groups and learning rates -----------------------------------------------------------------------------


SCHEDULES: dict[str, Callable[[Optimizer], Any]] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, gamma=0.5),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(
        # where PyTorch looks for what it cycles; a chain spells betas as its rules do
        o,
        max_lr=0.05,
        total_steps=20,
        cycle_momentum=bool({"momentum", "betas"} & {*o.defaults}),
    ),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "LambdaLR from 0": lambda o: lr_scheduler.LambdaLR(o, lambda step: step / 10),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.1, 4), lr_scheduler.ExponentialLR(o, 0.9)], [4]
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
@insides
@transparent
def test_schedulers_of_pytorch(wrap: Callable[..., Wrapper], make: Make, name: str) -> None:
    net, twin = Net(), Net()
    optimizer, alone = wrap(make(net.parameters())), make(twin.parameters())
    schedule, other = SCHEDULES[name](optimizer), SCHEDULES[name](alone)
    rates = set()
    for k in range(15):
        run(net, optimizer, k, k + 1, schedule)
        run(twin, alone, k, k + 1, other)
        assert schedule.get_last_lr() == other.get_last_lr()
        assert optimizer.param_groups[0]["lr"] == alone.param_groups[0]["lr"]
        rates.add(alone.param_groups[0]["lr"])
        same(snapshot(net), snapshot(twin), because=RERUN)
    assert len(rates) > 1


@transparent
def test_a_scheduler_by_the_loss_and_one_on_the_optimizer_inside(
    wrap: Callable[..., Wrapper],
) -> None:
    net = Net()
    inside = torch.optim.SGD(net.parameters(), lr=1.0)
    optimizer = wrap(inside)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    inner_schedule = lr_scheduler.ExponentialLR(inside, 0.1)
    for _ in range(3):
        optimizer.step(closure_of(net, optimizer, 0))
        plateau.step(1.0)
        inner_schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 4)


def test_the_two_calls_of_sam_count_as_a_step_for_schedulers() -> None:
    net = Net()
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1))
    schedule = lr_scheduler.StepLR(optimizer, 1)
    mse(net, *BATCHES[0]).backward()
    optimizer.first_step()
    mse(net, *BATCHES[0]).backward()
    optimizer.second_step()
    schedule.step()  # would warn if no step had been seen
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


@wrappers
@insides
def test_groups_state_and_defaults_are_those_inside(
    wrap: Callable[..., Wrapper], make: Make
) -> None:
    net = Net()
    inside = make([net.W, net.b])
    groups, defaults = inside.param_groups, inside.defaults
    optimizer = wrap(inside)
    assert optimizer.param_groups is groups
    assert optimizer.defaults is defaults
    assert optimizer.state is inside.state
    optimizer.param_groups[0]["lr"] = 0.125
    assert inside.param_groups[0]["lr"] == 0.125
    optimizer.add_param_group({"params": [net.v, net.s, net.unused], "lr": 0.5})
    assert [g["lr"] for g in inside.param_groups] == [0.125, 0.5]
    before = snapshot(net)
    run(net, optimizer, 0, 2)
    moved = snapshot(net)
    differs(before[:4], moved[:4], everywhere=True)
    same(before[4], moved[4], because="it has no gradient")
    optimizer.param_groups = inside.param_groups[:1]
    assert len(inside.param_groups) == 1
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [net.W]})


@wrappers
def test_the_learning_rate_takes_effect_at_once(wrap: Callable[..., Wrapper]) -> None:
    net = Net()
    optimizer = wrap(torch.optim.SGD(net.parameters(), lr=0.1))
    run(net, optimizer, 0, 2)
    before = snapshot(net)
    optimizer.param_groups[0]["lr"] = 0.0
    run(net, optimizer, 2, 4)
    same(snapshot(net), before, because="the rate 0 adds zeros")


@wrappers
def test_zero_grad(wrap: Callable[..., Wrapper]) -> None:
    net = Net()
    optimizer = wrap(torch.optim.SGD(net.parameters(), lr=0.1))
    mse(net, *BATCHES[0]).backward()
    optimizer.zero_grad(set_to_none=False)
    assert net.W.grad is not None
    assert not net.W.grad.any()
    optimizer.zero_grad()
    assert net.W.grad is None


# -- hooks --------------------------------------------------------------------------------------------------


@wrappers
@pytest.mark.parametrize("scheduled", [False, True])
def test_hooks_run_once_a_step_around_it(wrap: Callable[..., Wrapper], scheduled: bool) -> None:
    net = Net()
    inside = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer = wrap(inside)
    if scheduled:
        lr_scheduler.StepLR(optimizer, 1)
    events: list[Any] = []
    for opt, name in ((optimizer, "wrapper"), (inside, "inside")):
        opt.register_step_pre_hook(lambda o, a, k, n=name, e=opt: events.append((n, 0, o is e)))
        opt.register_step_post_hook(lambda o, a, k, n=name, e=opt: events.append((n, 1, o is e)))
    other = wrap(torch.optim.SGD(Net().parameters(), lr=0.1))
    for k in range(2):
        events.clear()
        optimizer.step(closure_of(net, optimizer, k))
    once = [("wrapper", 0, True), ("inside", 0, True), ("inside", 1, True), ("wrapper", 1, True)]
    assert events == once
    events.clear()
    other.step(lambda: 0.0)
    assert not events


def test_second_step_runs_the_hooks() -> None:
    net = Net()
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1))
    events: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: events.append("pre"))
    optimizer.register_step_post_hook(lambda *_: events.append("post"))
    mse(net, *BATCHES[0]).backward()
    optimizer.first_step()
    assert not events
    optimizer.second_step()
    assert events == ["pre", "post"]


def test_hooks_that_all_optimizers_share_see_wrapper_and_inside() -> None:
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    net = Net()
    optimizer = NonFinite(torch.optim.SGD(net.parameters(), lr=0.1))
    seen: list[Any] = []
    handle = register_optimizer_step_pre_hook(lambda o, *_: seen.append(o))
    try:
        optimizer.step()
    finally:
        handle.remove()
    assert seen == [optimizer, optimizer.optimizer]


@wrappers
def test_hooks_on_state_dicts(wrap: Callable[..., Wrapper]) -> None:
    optimizer = wrap(torch.optim.SGD(Net().parameters(), lr=0.1))
    events: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda o: events.append("save"))
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "mark": 1})
    saved = optimizer.state_dict()
    assert saved["mark"] == 1

    def half(o: Any, d: dict[str, Any]) -> dict[str, Any]:
        assert d.pop("mark") == 1
        return {**d, "param_groups": [{**g, "lr": g["lr"] / 2} for g in d["param_groups"]]}

    optimizer.register_load_state_dict_pre_hook(half)
    optimizer.register_load_state_dict_post_hook(lambda o: events.append("loaded"))
    optimizer.load_state_dict(saved)
    assert events == ["save", "loaded"]
    assert optimizer.param_groups[0]["lr"] == 0.05
    assert "mark" in saved


@wrappers
def test_the_profiler_sees_both_steps(wrap: Callable[..., Wrapper]) -> None:
    net = Net()
    optimizer = wrap(torch.optim.SGD(net.parameters(), lr=0.1))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run(net, optimizer, 0, 2)
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts[f"Optimizer.step#{type(optimizer).__name__}.step"] == 2
    assert counts["Optimizer.step#SGD.step"] in (1, 2)


# -- what is wrapped ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SAM, ASAM, NonFinite, lambda o: Accumulate(o, every=2)])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        (torch.optim.SGD, r"got the class SGD. Make one of it first: .*\(SGD\(model.parameters"),
        (list(Net().parameters()), r"such as torch\.optim\.SGD.*got list"),
        (Net(), "got Net"),
        (None, "got NoneType"),
        (
            torch.optim.LBFGS(Net().parameters()),
            "cannot wrap LBFGS, whose step evaluates a closure",
        ),
    ],
)
def test_what_is_no_optimizer_is_refused(kind: Any, what: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        kind(what)


def test_sam_stands_outside() -> None:
    sam = SAM(torch.optim.SGD(Net().parameters(), lr=0.1))
    with pytest.raises(TypeError, match=r"Put SAM outside: SAM\(Accumulate\(…\)\)"):
        Accumulate(sam, every=2)
    with pytest.raises(TypeError, match=r"Put SAM outside: SAM\(NonFinite\(…\)\)"):
        NonFinite(sam)
    with pytest.raises(TypeError, match=r"ASAM cannot wrap SAM.* One of the two is enough"):
        ASAM(sam)


def test_an_argument_that_the_optimizer_inside_does_not_take() -> None:
    net = Net()
    optimizer = NonFinite(torch.optim.SGD(net.parameters(), lr=0.1))
    with pytest.raises(TypeError, match="weight"):
        optimizer.step(weight=3)


def test_a_wrapper_of_ones_own() -> None:
    class Doubled(Wrapper):
        def step(self, closure: Any = None) -> Any:
            loss = None if closure is None else closure()
            self._step_inside()
            self._step_inside()
            return loss

    net, twin = Net(), Net()
    optimizer = Doubled(thalweg.Optimizer(net, adam(), lr=0.01))
    alone = thalweg.Optimizer(twin, adam(), lr=0.01)
    schedule = lr_scheduler.StepLR(optimizer, 1)
    run(net, optimizer, 0, 1, schedule)
    mse(twin, *BATCHES[0]).backward()
    alone.step()
    alone.step()
    same(snapshot(net), snapshot(twin), because=RERUN)
    assert optimizer.stepped
    again = Doubled(optim.Adam(net.parameters()))
    again.load_state_dict(through_file(optimizer.state_dict()))
    with pytest.raises(NotImplementedError, match="Wrapper defines no step"):
        Wrapper(again).step()


def test_the_amp_extras_of_fused_optimizers_are_not_promised() -> None:
    """A fused Adam unscales by itself; around it the scaler must do so, as the wrapper looks first."""
    net = Net().float()
    inner = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
    optimizer = NonFinite(inner)
    assert inner._step_supports_amp_scaling  # type: ignore[attr-defined]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    x, y = BATCHES[0][0].float(), BATCHES[0][1].float()
    scaler.scale(mse(net, x, y)).backward()
    scaled = net.W.grad.clone()
    scaler.step(optimizer)
    same(net.W.grad, scaled / 1024, because="a division by a power of two is exact")
    assert optimizer.stepped
