"""Initializations: what they draw, and what they leave alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.exact import RERUN, differs, is_same, same
from thalweg.errors import TaskError
from thalweg.init.strategies.torch_names import torch_names
from thalweg.tasks.initialize import check_initialization, initializations, initialized


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(8, 3))


def fresh(how: object = None) -> nn.Module:
    torch.manual_seed(0)
    return net() if how is None else initialized(net, how)()  # type: ignore[arg-type]


OF_ANY_SHAPE = sorted(
    set(torch_names()) - {"eye", "dirac", "orthogonal"}
)  # of two axes, of three to five, and the one name that is ours


@pytest.mark.parametrize("name", OF_ANY_SHAPE)
def test_every_name_is_that_of_torch(name: str) -> None:
    model = fresh(name)
    torch.manual_seed(0)
    twin = net()
    for p in twin.parameters():
        if p.ndim >= 2:
            getattr(nn.init, f"{name}_")(p)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        same(ours, theirs, because=RERUN)


def test_the_usual_names_are_there_and_no_function_that_needs_more() -> None:
    names = set(initializations())
    assert names >= {
        *("orthogonal", "zeros", "ones", "normal", "uniform", "trunc_normal"),
        *("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform"),
    }
    assert not names & {"constant", "calculate_gain", "from_torch"}
    for name in torch_names():
        getattr(nn.init, f"{name}_")(torch.empty(3, 3, 3) if name == "dirac" else torch.empty(3, 3))


def test_biases_gains_and_frozen_weights_stay() -> None:
    def build() -> nn.Module:
        model = fresh()
        model[3].weight.requires_grad_(False)  # type: ignore[index]
        return model

    drawn, plain = initialized(build, "zeros")(), fresh()
    changed = [
        name
        for (name, p), q in zip(drawn.named_parameters(), plain.parameters(), strict=True)
        if not is_same(p, q, because="drawn under the same seed")
    ]
    assert changed == ["0.weight"]


def test_a_function_gets_the_model_without_a_graph() -> None:
    def halve(model: nn.Module) -> None:
        for p in model.parameters():
            p.mul_(0.5)

    model = fresh(halve)
    for p, q in zip(model.parameters(), fresh().parameters(), strict=True):
        same(p, q / 2, because="a half is exact")
        assert p.is_leaf
        assert p.requires_grad


def test_weights_are_drawn_under_the_seed() -> None:
    same(fresh("normal")[0].weight, fresh("normal")[0].weight, because=RERUN)
    differs(fresh("normal")[0].weight, fresh("uniform")[0].weight)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("ortogonal", "Did you mean 'orthogonal'"),
        ("zzz", "Known are: .*kaiming_normal"),
        ("constant", "No initialization is called 'constant'"),
        ("orthogonal_", "Did you mean 'orthogonal'"),
        (
            3,
            "a name such as 'orthogonal', a strategy such as .*, or a function of the model; got 3",
        ),
    ],
)
def test_what_is_no_initialization_is_refused(how: object, message: str) -> None:
    for check in (check_initialization, lambda how: initialized(net, how)):
        with pytest.raises(TaskError, match=message):
            check(how)  # type: ignore[arg-type]
