"""Param groups, ways of giving parameters, and schedulers, each beside torch.optim."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from .cases import (
    OPTIMIZERS,
    RICHEST,
    Case,
    each_case,
    each_engine,
    each_optimizer,
    each_torch_case,
)
from .oracle import TOLERANCE
from .problem import (
    assert_moved,
    assert_same_path,
    default_dtype,
    follow,
    give_gradients,
    recorded,
    snapshot,
)

EXACT = TOLERANCE[torch.float64]
PROBLEM = recorded([(5,), (3, 4), (), (21,)], steps=24)
Make = Callable[..., Optimizer]


def beside_torch(case: Case, engine: str, run: Callable[[Make], list[list[Tensor]]]) -> None:
    """Run the same with torch.optim and with ours, and compare at every step."""
    with default_dtype(torch.float64):
        expected = run(case.theirs)
    actual = run(functools.partial(case.ours, engine=engine))
    assert_same_path(actual, expected, PROBLEM.starts, EXACT)


@each_engine
@each_torch_case
def test_groups_have_options_of_their_own(case: Case, engine: str) -> None:
    other = next(c for c in RICHEST if c.optimizer == case.optimizer).options

    def run(make: Make) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        groups = [
            {"params": parameters[:1], "lr": 0.003},
            {"params": parameters[1:3], **other},
            {"params": parameters[3:], "maximize": True},
        ]
        return follow(PROBLEM, parameters, make(groups), steps=12)

    beside_torch(case, engine, run)


@each_engine
@each_torch_case
def test_a_group_added_later(case: Case, engine: str) -> None:
    def run(make: Make) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        optimizer = make(parameters[:2])
        first = follow(PROBLEM, parameters, optimizer, steps=5)
        optimizer.add_param_group({"params": parameters[2:], "lr": 0.004})
        second = follow(PROBLEM, parameters, optimizer, steps=7, start=5)
        steps = [optimizer.state[p].get("step") for p in parameters]
        assert case.optimizer == "SGD" or steps == [12, 12, 7, 7]
        return first + second

    beside_torch(case, engine, run)


@each_engine
@each_torch_case
def test_options_changed_by_hand_act_at_once(case: Case, engine: str) -> None:
    """Every number of a group may change between steps: learning rate, decay, momenta."""
    numbers = {"lr", "weight_decay", "eps", "alpha", "rho", "lambd", "lr_decay", "momentum_decay"}

    def run(make: Make) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        optimizer = make(parameters)

        def change(step: int) -> None:
            (group,) = optimizer.param_groups
            if step == 4:
                group.update(
                    {key: 1.5 * group[key] for key in numbers & set(group) - {"alpha", "rho"}}
                )
                group.update({key: 0.8 * group[key] for key in {"alpha", "rho"} & set(group)})
            if step == 8 and "betas" in group:
                group["betas"] = (0.7, 0.9)
            if step == 8 and group.get("momentum"):
                group["momentum"] = 0.5

        return follow(PROBLEM, parameters, optimizer, steps=12, before_step=change)

    beside_torch(case, engine, run)


SCHEDULERS: dict[str, Callable[[Optimizer], Any]] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, step_size=5, gamma=0.3),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=10),  # to 0 and back
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: float(step % 3)),  # 0 at first
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=6),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=25),
}


def cycles_momentum(case: Case) -> bool:
    defaults = case.theirs([nn.Parameter(torch.zeros(1))]).defaults
    return "momentum" in defaults or "betas" in defaults


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@each_engine
@each_torch_case
def test_schedulers(case: Case, engine: str, scheduler: str) -> None:
    if scheduler == "OneCycleLR" and not cycles_momentum(case):
        scheduler = "LinearLR"

    def run(make: Make) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        optimizer = make(parameters)
        schedule = SCHEDULERS[scheduler](optimizer)
        path = []
        for step in range(24):
            give_gradients(PROBLEM, step, parameters)
            optimizer.step()
            schedule.step()
            path.append(snapshot(parameters))
        return path

    beside_torch(case, engine, run)


@each_engine
@each_case
def test_a_plateau_cuts_the_rate(case: Case, engine: str) -> None:
    parameters = PROBLEM.parameters()
    optimizer = case.ours(parameters, engine=engine)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    follow(PROBLEM, parameters, optimizer, steps=1)
    for loss in (1.0, 2.0, 3.0):
        schedule.step(loss)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(case.lr / 4)
    follow(PROBLEM, parameters, optimizer, steps=2)
    assert all(torch.isfinite(p).all() for p in parameters)


@each_engine
@each_optimizer
def test_a_rate_may_be_a_tensor(case: Case, engine: str) -> None:
    parameters = PROBLEM.parameters()
    expected = follow(PROBLEM, parameters, case.ours(parameters, engine=engine), steps=4)
    parameters = PROBLEM.parameters()
    rate = torch.tensor(case.lr, dtype=torch.float64)
    actual = follow(PROBLEM, parameters, case.ours(parameters, engine=engine, lr=rate), steps=4)
    assert_same_path(actual, expected, PROBLEM.starts, EXACT)


@each_engine
@each_torch_case
def test_a_rate_tensor_may_change_in_place(case: Case, engine: str) -> None:
    """Schedulers fill a rate that is a tensor; the object in the group stays the same."""

    def run(make: Make, is_tensor: bool) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        rate = torch.tensor(case.lr, dtype=torch.float64)
        optimizer = make(parameters, **({"lr": rate} if is_tensor else {"lr": case.lr}))
        schedule = lr_scheduler.ExponentialLR(optimizer, gamma=0.7)
        path = []
        for step in range(8):
            give_gradients(PROBLEM, step, parameters)
            optimizer.step()
            schedule.step()
            path.append(snapshot(parameters))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(case.lr * 0.7**8)
        return path

    with default_dtype(torch.float64):
        expected = run(case.theirs, False)
    actual = run(functools.partial(case.ours, engine=engine), True)
    assert_same_path(actual, expected, PROBLEM.starts, EXACT)


@each_engine
@each_torch_case
def test_parameters_leave_and_are_replaced(case: Case, engine: str) -> None:
    """A group's list may be edited by hand: one leaves, another takes a place and a state."""

    def run(make: Make) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        optimizer = make(parameters)
        path = follow(PROBLEM, parameters, optimizer, steps=4)
        (group,) = optimizer.param_groups
        group["params"].pop(1)
        path += follow(PROBLEM, parameters, optimizer, steps=4, start=4)
        old = parameters[3]
        parameters[3] = group["params"][-1] = nn.Parameter(old.detach().clone())
        optimizer.state[parameters[3]] = optimizer.state.pop(old, {})
        path += follow(PROBLEM, parameters, optimizer, steps=4, start=8)
        assert torch.equal(path[3][1], path[-1][1])
        return path

    beside_torch(case, engine, run)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


WAYS: dict[str, Callable[[nn.Module], Any]] = {
    "list": lambda m: list(m.parameters()),
    "generator": lambda m: m.parameters(),
    "named": lambda m: m.named_parameters(),
    "module": lambda m: m,
    "groups": lambda m: [{"params": m[0].parameters()}, {"params": m[2].parameters()}],
    "named groups": lambda m: [
        {"params": m[0].named_parameters("0")},
        {"params": [*m[2].named_parameters("2")]},
    ],
}


@pytest.mark.parametrize("way", WAYS)
@each_optimizer
def test_ways_to_give_parameters(case: Case, way: str) -> None:
    ends = []
    for chosen in ("list", way):
        net = model()
        optimizer = case.ours(WAYS[chosen](net))
        start = snapshot(list(net.parameters()))
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.ones(5, 3, dtype=torch.float64)).square().sum().backward()
            optimizer.step()
        ends.append(snapshot(list(net.parameters())))
        assert_moved(ends[-1], start)
    assert all(map(torch.equal, *ends))
    names = [name for group in optimizer.param_groups for name in group.get("param_names", [])]
    known = way in ("named", "module", "named groups")
    assert names == ([name for name, _ in net.named_parameters()] if known else [])


def test_every_optimizer_is_torchs_own_kind() -> None:
    from thalweg import optim

    for name in OPTIMIZERS:
        assert issubclass(getattr(optim, name), getattr(torch.optim, name))


@each_case
def test_groups_are_shown_as_torch_shows_them(case: Case) -> None:
    parameters = PROBLEM.parameters()
    optimizer = case.ours([{"params": parameters[:1], "lr": 0.5}, {"params": parameters[1:]}])
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, case.lr]
    assert "Parameter Group 1" in repr(optimizer)
    assert repr(optimizer).startswith(f"{case.optimizer} (")
