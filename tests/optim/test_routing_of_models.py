"""Optimizers of matrices that are given a model route by themselves."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import RERUN, RESUMED, same
from tests.model.models import GPT, MoE, ResNet, TiedLSTM
from tests.optim.test_routing import net, numbers, parts, train
from thalweg import Recipe, load_task, optim, race
from thalweg.errors import TaskError

KINDS: list[Any] = [optim.Muon, optim.NorMuon]


def routes(optimizer: Any) -> dict[str, str]:
    return {row.name: row.route for row in optimizer.routes().rows}


def test_muon_of_a_model_is_muon_of_hidden_matrices_and_adamw_of_the_rest() -> None:
    together, apart = net(), net()
    hidden, rest = parts(apart)
    train(together, optim.Muon(together, lr=1e-2, weight_decay=0.2))
    groups = [{"params": hidden[:1], "blocks": 3}, {"params": hidden[1:]}]
    train(
        apart,
        optim.Muon(groups, lr=1e-2, weight_decay=0.2, adjust_lr_fn="match_rms_adamw"),
        optim.AdamW(rest, lr=1e-2, weight_decay=0.2),
    )
    same(numbers(together), numbers(apart), because=RERUN)


def test_normuon_of_a_model_is_both_too() -> None:
    together, apart = net(), net()
    hidden, rest = parts(apart)
    train(together, optim.NorMuon(together, lr=1e-2))
    train(apart, optim.NorMuon(hidden, lr=1e-2), optim.AdamW(rest, lr=1e-2, weight_decay=0.0))
    same(numbers(together), numbers(apart), because=RERUN)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_hidden_in_models_as_users_write_them(kind: Any) -> None:
    of_gpt = routes(kind(GPT(tied=True, blocks=1)))
    hidden = {name for name, route in of_gpt.items() if route != "rest"}
    block = "transformer.h.0."
    assert hidden == {
        f"{block}{name}.weight" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    of_resnet = routes(kind(ResNet()))
    assert {name for name, route in of_resnet.items() if route == "hidden"} == {
        f"layer1.{k}.conv{j}.weight" for k in (0, 1) for j in (1, 2)
    }
    of_moe = routes(kind(MoE()))
    assert {name for name, route in of_moe.items() if route == "hidden"} == {"gate.weight"}
    of_experts = {name for name, route in of_moe.items() if route == "experts"}
    assert of_experts == {"experts.w1", "experts.w2"}


@pytest.mark.parametrize("kind", KINDS)
def test_without_hidden_matrices_the_first_layer_is_stepped_so(kind: Any) -> None:
    two = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    found = routes(kind(two))
    assert found == {"0.weight": "hidden", "0.bias": "rest", "2.weight": "rest", "2.bias": "rest"}
    assert routes(kind(nn.Linear(3, 2))) == {"weight": "hidden", "bias": "rest"}
    with pytest.raises(TaskError, match=r"the model has none: .* tied, recurrent, bias"):
        kind(TiedLSTM())


def test_arguments_reach_both_and_what_is_said_of_the_scale_holds() -> None:
    optimizer = optim.Muon(net(), 3e-3, adjust_lr_fn="spectral")
    assert [group["route"] for group in optimizer.param_groups] == ["hidden", "qkv", "rest"]
    assert {group["lr"] for group in optimizer.param_groups} == {3e-3}
    assert optimizer.param_groups[0]["adjust_lr_fn"] == "spectral"
    by_place = optim.Muon(net(), *(1e-3, 0.1, 0.9, True, (2.0, -1.5, 0.5), 1e-7, 3, "original"))
    assert by_place.param_groups[0]["adjust_lr_fn"] == "original"
    tensors = optim.Muon([nn.Parameter(torch.ones(2, 2))])
    assert tensors.param_groups[0]["adjust_lr_fn"] is None
    assert routes(tensors) == {"parameter 0": "group 0"}


@pytest.mark.parametrize("kind", KINDS)
def test_states_copies_and_groups_from_outside(kind: Any) -> None:
    model = net()
    optimizer = kind(model, lr=1e-2)
    train(model, optimizer)
    other = copy.deepcopy(model)
    resumed = kind(other, lr=1e-2)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"].reverse()
    resumed.load_state_dict(saved)
    train(model, optimizer)
    train(other, resumed)
    same(numbers(other), numbers(model), because=RESUMED)
    assert pickle.loads(pickle.dumps(optimizer)).routes() == optimizer.routes()
    optimizer.add_param_group({"params": [("gain", nn.Parameter(torch.ones(3)))], "route": "rest"})
    assert optimizer.param_groups[-1]["betas"] == (0.9, 0.999)
    with pytest.raises(ValueError, match=r"two dimensions or more, whereas .*gain2"):
        optimizer.add_param_group({"params": [("gain2", nn.Parameter(torch.ones(3)))]})


def test_a_recipe_builds_it_from_the_model() -> None:
    run = Recipe(load_task("digits"), "muon", lr=3e-3, epochs=1).fit(progress=False)
    assert [group["route"] for group in run.optimizer.param_groups] == ["hidden", "rest"]


def test_it_races_alone_and_in_stacks() -> None:
    result = race("digits", ["muon", "adam"], trials=2, seeds=1, final_seeds=2, epochs=1, out=None)
    assert {record.status for record in result.records} == {"finished"}
    assert {standing.entrant for standing in result.standings} == {"muon", "adam"}
