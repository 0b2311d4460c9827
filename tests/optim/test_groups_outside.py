"""Param groups that others edit, replace, append and delete: they are PyTorch's to change."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from tests.exact import RERUN, differs, same
from thalweg import optim, rules
from thalweg.errors import EngineError
from thalweg.schedules import linear

from .shells import Shell

Optimizer = torch.optim.Optimizer
RATE = linear(0.4, 0.1, 10)
MAKES: dict[str, Callable[[Any], Any]] = {
    "plain": lambda p: optim.AdamW(p, lr=0.1),
    "scheduled": lambda p: optim.AdamW(p, lr=RATE),
    "betas": lambda p: optim.Adam(p, lr=0.1, betas=(linear(0.9, 0.5, 10), 0.99)),
    "around": lambda p: optim.Lion(p, lr=0.1, before=rules.clip_by_value(linear(1.0, 0.1, 10))),
}
Edit = Callable[[Any, Parameter], None]


def assigned(o: Any, new: Parameter) -> None:
    o.param_groups = [dict(group) for group in o.param_groups]


def appended(o: Any, new: Parameter) -> None:
    o.param_groups.append({**o.param_groups[0], "params": [new]})


def replaced(o: Any, new: Parameter) -> None:
    o.param_groups[0] = dict(o.param_groups[0])


def deleted(o: Any, new: Parameter) -> None:
    del o.param_groups[0]


def reordered(o: Any, new: Parameter) -> None:
    o.param_groups.reverse()


def other_params(o: Any, new: Parameter) -> None:
    o.param_groups[0]["params"] = [new]


def grown(o: Any, new: Parameter) -> None:
    o.param_groups[0]["params"].append(new)


def cleared(o: Any, new: Parameter) -> None:
    o.param_groups.clear()


def added_copy(o: Any, new: Parameter) -> None:
    o.add_param_group({**o.param_groups[0], "params": [new]})


EDITS: list[Edit] = [
    assigned,
    appended,
    replaced,
    deleted,
    reordered,
    other_params,
    grown,
    cleared,
    added_copy,
]


def parameters() -> list[Parameter]:
    return [Parameter(torch.full((3,), float(k + 1))) for k in range(3)]


def step(o: Optimizer, params: list[Parameter], times: int = 1) -> None:
    for _ in range(times):
        for p in params:
            p.grad = torch.sin(p.detach())
        o.step()


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", MAKES)
def test_an_edited_optimizer_steps_saves_and_loads(name: str, edit: Edit, tmp_path: Path) -> None:
    """And each group goes on by its own schedule, wherever it stands now."""
    params = parameters()
    make = MAKES[name]
    optimizer = make([{"params": [("a", params[0])]}, {"params": [("b", params[1])]}])
    step(optimizer, params, 3)
    edit(optimizer, params[2])
    if name == "scheduled":
        assert all(group["scheduled_step"] == 3 for group in optimizer.param_groups)
    step(optimizer, params)
    if name == "scheduled":
        assert all(group["lr"] == RATE(3) for group in optimizer.param_groups)
    before = [p.detach().clone() for p in params]
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert len(twin.param_groups) == len(optimizer.param_groups)
    step(optimizer, params, 2)
    after = [p.detach().clone() for p in params]
    for p, x in zip(params, before, strict=True):
        p.data.copy_(x)
    optimizer.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    step(optimizer, params, 2)
    same([p.detach() for p in params], after, because=RERUN)


@pytest.mark.parametrize("edit", EDITS)
def test_the_same_as_pytorch_where_nothing_is_scheduled(edit: Edit) -> None:
    ends = []
    for kind in (torch.optim.SGD, optim.SGD):
        params = parameters()
        o = kind([{"params": [params[0]]}, {"params": [params[1]]}], lr=0.25)
        step(o, params)
        edit(o, params[2])
        step(o, params)
        ends.append([p.detach() for p in params])
    for ours, theirs in zip(*ends, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0.0)


def test_a_copy_with_a_rate_of_its_own_keeps_it() -> None:
    params = parameters()
    optimizer = optim.SGD(params[:1], lr=RATE)
    step(optimizer, params[:1], 2)
    optimizer.add_param_group({**optimizer.param_groups[0], "params": [params[1]], "lr": 0.5})
    step(optimizer, params[:2], 2)
    assert [group["lr"] for group in optimizer.param_groups] == [RATE(3), 0.5]


def test_a_group_without_hyperparameters_says_what_it_lacks() -> None:
    params = parameters()
    optimizer = optim.Lion(params[:1], lr=0.1)
    optimizer.param_groups.append({"params": params[1:2]})
    with pytest.raises(KeyError, match=r"weight_decay|maximize|lr"):
        step(optimizer, params)


def test_names_that_no_longer_fit_name_nobody() -> None:
    """A copied group has the names of another one: parameters are found by position then."""
    params = parameters()
    optimizer = optim.AdamW([("a", params[0])], lr=0.1)
    appended(optimizer, params[1])
    step(optimizer, params[:2], 2)
    kept = [optimizer.state[p]["exp_avg"].clone() for p in params[:2]]
    optimizer.load_state_dict(optimizer.state_dict())
    same([optimizer.state[p]["exp_avg"] for p in params[:2]], kept, because="a copy")


# -- behind a shell -----------------------------------------------------------------------------------


def test_a_shell_evaluates_the_optimizer_behind_it() -> None:
    params = parameters()
    inside = optim.SGD(params, lr=0.1, after=rules.ema(0.5))
    shell: Any = Shell(inside)
    step(shell, params, 3)
    trained = [p.detach().clone() for p in params]
    shell.eval()
    with pytest.raises(EngineError, match=r"optimizer\.train\(\)"):
        inside.step()
    inside.train()
    same([p.detach() for p in params], trained, because="a copy")
    with shell.evaluating():
        differs(params[0].detach(), trained[0])
    inside.eval()
    shell.train()
    same([p.detach() for p in params], trained, because="a copy")
    step(shell, params)


def test_a_shell_adds_groups_saves_and_loads() -> None:
    params = parameters()
    inside = optim.Lion(params[:1], lr=RATE)
    shell: Any = Shell(inside)
    step(shell, params[:1], 2)
    shell.add_param_group({"params": params[1:2], "lr": linear(1.0, 0.0, 4)})
    shell.add_param_group({"params": params[2:]})
    step(shell, params, 2)
    assert [g["lr"] for g in inside.param_groups] == [RATE(3), 0.75, RATE(1)]
    saved = copy.deepcopy(shell.state_dict())  # its tensors and numbers move on
    step(shell, params, 2)
    shell.load_state_dict(saved)
    assert inside.state[params[0]]["step"] == 4
    assert shell.param_groups is inside.param_groups
    step(shell, params)
    assert inside.state[params[0]]["step"] == 5


# -- state of others ----------------------------------------------------------------------------------

COPIES = {
    "state_dict": lambda o: (o.load_state_dict(o.state_dict()), o)[1],
    "deepcopy": copy.deepcopy,
    "pickle": lambda o: pickle.loads(pickle.dumps(o)),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "NAdam", "Adagrad", "ASGD", "Rprop", "RAdam", "Lion"]
)
def test_values_of_others_in_the_state_are_kept(name: str, way: str) -> None:
    """Under a string or a parameter, dictionary or not, before a step and after."""
    for steps in (0, 2):
        params = parameters()
        optimizer = getattr(optim, name)(params[:2], lr=0.1)
        optimizer.state["best"] = 0.5
        optimizer.state["log"] = [1]
        optimizer.state[params[0]]["note"] = "mine"
        step(optimizer, params[:2], steps)
        optimizer.state["last"] = {"loss": 1.0}
        optimizer.eval()
        optimizer.train()
        twin = COPIES[way](optimizer)
        assert twin.state["best"] == 0.5
        assert twin.state["log"] == [1]
        assert twin.state["last"] == {"loss": 1.0}
        (first, *_) = twin.param_groups[0]["params"]
        assert twin.state[first]["note"] == "mine"
        step(twin, twin.param_groups[0]["params"])
        assert twin.state[first]["step"] == steps + 1
