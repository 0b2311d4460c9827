"""Distributed checkpoints: PyTorch makes the state of a fresh optimizer by a call of `step` that is none."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)

from tests.exact import RERUN, same
from thalweg import optim, rules
from thalweg.engine import chain
from thalweg.schedules import cosine

from .cases import AROUND, RICHEST, Case, each

Optimizer = torch.optim.Optimizer
AVERAGED = [case for case in AROUND if "after" in case.options][:3]
each_fresh = each([*RICHEST, *AVERAGED])
# a single process is meant
alone = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def train(net: nn.Module, optimizer: Optimizer, first: int, last: int) -> None:
    for k in range(first, last):
        x = torch.sin(torch.arange(15.0, dtype=torch.float64) + k).reshape(5, 3)
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()


def through_files(saved: Any, template: Any, folder: Path) -> Any:
    dcp.save(saved, checkpoint_id=folder)
    dcp.load(template, checkpoint_id=folder)
    return template


@each_fresh
def test_reading_the_state_of_a_fresh_optimizer_changes_nothing(case: Case) -> None:
    plain, read = model(), model()
    never, asked = case.ours(plain.parameters()), case.ours(read.parameters())
    before = copy.deepcopy(asked.param_groups)
    saved = get_optimizer_state_dict(read, asked)
    assert len(saved["state"]) == 4
    assert all("step" in entry for entry in saved["state"].values())
    for group, kept in zip(asked.param_groups, before, strict=True):
        assert all(group[n] == kept[n] for n in kept if n != "params")
    train(plain, never, 0, 3)
    train(read, asked, 0, 3)
    same(read.state_dict(), plain.state_dict(), because=RERUN)
    same(asked.state_dict()["state"], never.state_dict()["state"], because=RERUN)


@alone
@each_fresh
def test_a_resumed_run_goes_on_alike(case: Case, tmp_path: Path) -> None:
    net, other = model(), model()
    optimizer, fresh = case.ours(net.parameters()), case.ours(other.parameters())
    train(net, optimizer, 0, 3)
    saved = get_state_dict(net, optimizer)
    weights, state = through_files(
        dict(zip("mo", saved, strict=True)),
        dict(zip("mo", get_state_dict(other, fresh), strict=True)),
        tmp_path,
    ).values()
    set_state_dict(other, fresh, model_state_dict=weights, optim_state_dict=state)
    train(net, optimizer, 3, 6)
    train(other, fresh, 3, 6)
    same(other.state_dict(), net.state_dict(), because=RERUN)


@alone
@pytest.mark.parametrize("flat", [False, True])
def test_a_schedule_goes_on(flat: bool, tmp_path: Path) -> None:
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    net, other = model(), model()
    optimizer = optim.AdamW(net, lr=cosine(0.1, steps=20))
    fresh = optim.AdamW(other, lr=cosine(0.1, steps=20))
    train(net, optimizer, 0, 3)
    other.load_state_dict(net.state_dict())
    template = get_optimizer_state_dict(other, fresh, options=options)
    saved = get_optimizer_state_dict(net, optimizer, options=options)
    through_files(saved, template, tmp_path)
    set_optimizer_state_dict(other, fresh, template, options=options)
    assert fresh.param_groups[0]["scheduled_step"] == 3
    train(net, optimizer, 3, 6)
    train(other, fresh, 3, 6)
    same(other.state_dict(), net.state_dict(), because=RERUN)


@alone
@pytest.mark.parametrize(("saves", "loads"), [(True, True), (True, False), (False, True)])
def test_a_save_made_while_evaluating_keeps_where_training_goes_on(
    saves: bool, loads: bool, tmp_path: Path
) -> None:
    """Whether the one that is loaded into is evaluating or not."""
    makes = {
        "ema": lambda p: optim.SGD(p, lr=0.1, after=rules.ema(0.5)),
        "schedule-free": lambda p: optim.ScheduleFreeAdamW(p, lr=0.1),
    }
    for name, make in makes.items():
        net, other = model(), model()
        optimizer, fresh = make(net), make(other)
        train(net, optimizer, 0, 3)
        if saves:
            optimizer.eval()
        if loads:
            fresh.eval()
        weights, state = through_files(
            dict(zip("mo", get_state_dict(net, optimizer), strict=True)),
            dict(zip("mo", get_state_dict(other, fresh), strict=True)),
            tmp_path / name,
        ).values()
        set_state_dict(other, fresh, model_state_dict=weights, optim_state_dict=state)
        same(other.state_dict(), net.state_dict(), because="they were loaded")
        assert "is_evaluating" not in fresh.param_groups[0]
        for each_one in (optimizer, fresh):
            each_one.train()
        train(net, optimizer, 3, 6)
        train(other, fresh, 3, 6)
        same(other.state_dict(), net.state_dict(), because=RERUN)


def test_an_entry_that_somebody_looked_for_hides_nothing() -> None:
    """A look into `state` makes an empty entry, and PyTorch takes the state for complete."""
    net = model()
    optimizer = optim.Adam(net)
    assert not optimizer.state[net[0].weight]
    assert all("exp_avg" in e for e in get_optimizer_state_dict(net, optimizer)["state"].values())


def test_adagrad_has_its_average_too() -> None:
    """PyTorch's constructor fills some of the state, so that no step is asked for."""
    net = model()
    optimizer = optim.Adagrad(net, after=rules.ema(0.9))
    assert all("average" in e for e in get_optimizer_state_dict(net, optimizer)["state"].values())


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_the_dummy_step_of_a_named_optimizer_is_none() -> None:
    """It is PyTorch's other way to have the state made, and keeps the learning rate."""
    from torch.distributed.optim import _NamedOptimizer

    net = model()
    before = copy.deepcopy(net.state_dict())
    named = _NamedOptimizer(
        net.named_parameters(), optim.AdamW, None, net, lr=0.1, weight_decay=0.1
    )
    named.init_state()
    same(net.state_dict(), before, because="nothing has stepped")
    assert len(named.state_dict()["state"]) == 4


def test_frozen_parameters_get_no_state() -> None:
    net = model()
    net[0].requires_grad_(False)
    optimizer = optim.Optimizer(net, chain(rules.adam()))
    assert len(get_optimizer_state_dict(net, optimizer)["state"]) == 2


def test_a_step_by_zero_gradients_at_a_rate_of_zero_is_a_step() -> None:
    """As in a warm-up from 0: only PyTorch's own call is none."""
    net = model()
    optimizer = optim.AdamW(net, lr=0.0)
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step(closure=None)
    assert all(state["step"] == 1 for state in optimizer.state.values())


def test_other_state_dicts_are_what_they_were() -> None:
    optimizer = optim.SGD(model(), lr=0.1, after=rules.ema(0.5))
    assert optimizer.state_dict()["state"] == {}
    assert "is_evaluating" not in optimizer.state_dict()["param_groups"][0]
