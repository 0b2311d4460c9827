"""Param groups, ways of giving parameters, and schedulers, each beside torch.optim."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from tests.exact import RERUN, same

from .cases import (
    KEPT_BY_HAND,
    PROGRAMS,
    RICHEST,
    TORCH_OPTIMIZERS,
    Case,
    each,
    each_alone,
    each_case,
    each_engine,
    each_optimizer,
    each_program,
)
from .oracle import TOLERANCE, beside_the_oracle
from .problem import (
    assert_moved,
    assert_same_path,
    default_dtype,
    follow,
    give_gradients,
    recorded,
    snapshot,
)

pytestmark = pytest.mark.sampled(6)

EXACT = TOLERANCE[torch.float64]
PROBLEM = recorded([(5,), (3, 4), (), (21,)], steps=24)
Make = Callable[..., Optimizer]
# Which rules there are is the same for every group.
NOT_OF_A_GROUP = {"decay", "dialect", "layerwise", "before", "after", "amsgrad"}


@each_engine
@each_alone
def test_groups_have_options_of_their_own(case: Case, engine: str) -> None:
    other = next(c for c in RICHEST if c.optimizer == case.optimizer).options
    other = {k: v for k, v in other.items() if k not in NOT_OF_A_GROUP}

    def run(make: Make) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        groups = [
            {"params": parameters[:1], "lr": 0.003},
            {"params": parameters[1:3], **other},
            {"params": parameters[3:], "maximize": True},
        ]
        return follow(PROBLEM, parameters, make(groups), steps=12)

    beside_the_oracle(case, engine, PROBLEM.starts, run)


@each_engine
@each_alone
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

    beside_the_oracle(case, engine, PROBLEM.starts, run)


@each_engine
@each_case
def test_options_changed_by_hand_act_at_once(case: Case, engine: str) -> None:
    """Every number of a group may change between steps: learning rate, decay, momenta."""
    numbers = set(case.parameters) - set(KEPT_BY_HAND.get(case.optimizer, ())) - {"params"}
    if "newton" in case.options:  # products give roots of whole orders alone
        numbers -= {"exponent"}

    def run(make: Make) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        optimizer = make(parameters)

        def change(step: int) -> None:
            (group,) = optimizer.param_groups
            for key, value in group.items():
                if step in (4, 8) and key in numbers:
                    group[key] = smaller(value, 0.9 if step == 4 else 0.8)

        return follow(PROBLEM, parameters, optimizer, steps=12, before_step=change)

    beside_the_oracle(case, engine, PROBLEM.starts, run)


def smaller(value: Any, factor: float) -> Any:
    if isinstance(value, tuple):
        return tuple(smaller(part, factor) for part in value)
    return factor * value if isinstance(value, float) else value


SCHEDULERS: dict[str, Callable[[Optimizer], Any]] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, step_size=5, gamma=0.3),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=10),  # to 0 and back
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: float(step % 3)),  # 0 at first
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=6),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=25),
}


def cycles_momentum(case: Case) -> bool:
    cycled = {"momentum", "betas"} - set(KEPT_BY_HAND.get(case.optimizer, ()))
    return bool(cycled & set(case.parameters))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@each_engine
@each([case for case in PROGRAMS if case.has_twin or case in RICHEST])
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

    beside_the_oracle(case, engine, PROBLEM.starts, run, scheduler)


@each_engine
@each_program
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
    expected = follow(PROBLEM, parameters, case.ours(parameters, engine=engine), steps=5)
    parameters = PROBLEM.parameters()
    rate = torch.tensor(case.lr, dtype=torch.float64)
    actual = follow(PROBLEM, parameters, case.ours(parameters, engine=engine, lr=rate), steps=5)
    assert_same_path(actual, expected, PROBLEM.starts, EXACT)


@each_engine
@each_program
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
        expected = run(case.oracle, False)
    actual = run(functools.partial(case.ours, engine=engine), True)
    assert_same_path(actual, expected, PROBLEM.starts, EXACT)


@each_engine
@each_alone
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
        same(path[3][1], path[-1][1], because="nothing wrote to it")
        return path

    beside_the_oracle(case, engine, PROBLEM.starts, run)


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
    same(*ends, because=RERUN)
    names = [name for group in optimizer.param_groups for name in group.get("param_names", [])]
    known = way in ("named", "module", "named groups")
    assert names == ([name for name, _ in net.named_parameters()] if known else [])


def test_every_optimizer_is_torchs_own_kind() -> None:
    from thalweg import optim

    for name in TORCH_OPTIMIZERS:
        assert issubclass(getattr(optim, name), getattr(torch.optim, name))


@each_program
def test_groups_are_shown_as_torch_shows_them(case: Case) -> None:
    parameters = PROBLEM.parameters()
    optimizer = case.ours([{"params": parameters[:1], "lr": 0.5}, {"params": parameters[1:]}])
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, case.lr]
    assert "Parameter Group 1" in repr(optimizer)
    assert repr(optimizer).startswith(f"{case.optimizer} (")
