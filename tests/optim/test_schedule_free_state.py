"""State dicts of the package schedulefree (1.4.1): loaded whole, or refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from tests.exact import RERUN, same
from thalweg import optim

MAKES: dict[str, Any] = {
    "AdamW": lambda p: optim.ScheduleFreeAdamW(p, lr=0.1, betas=(0.8, 0.99), weight_decay=0.1),
    "SGD": lambda p: optim.ScheduleFreeSGD(p, lr=0.1, beta=0.8, r=1.0),
}


def step(o: Any, p: Parameter, times: int) -> None:
    for _ in range(times):
        p.grad = torch.sin(3 * p.detach())
        o.step()


def as_the_package_writes_it(o: Any, name: str, p: Parameter) -> dict[str, Any]:
    """The keys and kinds are those that it writes."""
    state, (group,) = o.state[p], o.param_groups
    shared = {"lr": group["lr"], "r": group["r"], "weight_decay": group["weight_decay"]}
    own = (
        {"betas": group["betas"], "eps": group["eps"]}
        if name == "AdamW"
        else {"momentum": group["beta"]}
    )
    counted = {
        "k": int(state["step"]),
        "warmup_steps": 2,
        "train_mode": True,
        "weight_sum": float(state["weight_sum"]),
        "lr_max": float(state["lr_max"]),
        "scheduled_lr": group["lr"],
        "weight_lr_power": group["power"],
        "foreach": True,
        "params": [0],
    }
    tensors = {"z": state["z"].clone()}
    if name == "AdamW":
        tensors["exp_avg_sq"] = state["v"].clone()
    return {"state": {0: tensors}, "param_groups": [{**shared, **own, **counted}]}


@pytest.mark.parametrize("name", MAKES)
def test_a_run_of_the_package_goes_on(name: str) -> None:
    p = Parameter(torch.tensor([1.0, 2.0, 3.0]))
    optimizer = MAKES[name]([p])
    step(optimizer, p, 4)
    saved = as_the_package_writes_it(optimizer, name, p)
    kept = copy.deepcopy(saved)
    q = Parameter(p.detach().clone())
    resumed = getattr(optim, "ScheduleFree" + name)([q])
    resumed.load_state_dict(saved)
    same(saved, kept, because="nothing in it has changed")
    assert "train_mode" not in resumed.param_groups[0]
    step(optimizer, p, 3)
    step(resumed, q, 3)
    same(q.detach(), p.detach(), because=RERUN)
    for each in (optimizer, resumed):
        each.eval()
    same(q.detach(), p.detach(), because=RERUN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_mode": False}, r"saved where the model is evaluated.*optimizer.train\(\)"),
        ({"warmup_steps": 10}, "in step 4 of a warm-up of 10 steps"),
        ({"silent_sgd_phase": True}, "by another optimizer"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused(changes: dict[str, Any], message: str) -> None:
    p = Parameter(torch.ones(2))
    optimizer = MAKES["AdamW"]([p])
    step(optimizer, p, 4)
    saved = as_the_package_writes_it(optimizer, "AdamW", p)
    saved["param_groups"][0].update(changes)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert optimizer.state[p]["step"] == 4


def test_one_optimizer_is_not_taken_for_the_other() -> None:
    p = Parameter(torch.ones(2))
    optimizer = MAKES["AdamW"]([p])
    step(optimizer, p, 1)
    saved = as_the_package_writes_it(optimizer, "AdamW", p)
    with pytest.raises(ValueError, match="AdamWScheduleFree goes with ScheduleFreeAdamW"):
        optim.ScheduleFreeSGD([Parameter(torch.ones(2))]).load_state_dict(saved)
