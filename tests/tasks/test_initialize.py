"""Initializations: what they draw, and what they leave alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.exact import RERUN, differs, is_same, same
from thalweg import Cost, Data, Task, fit
from thalweg.errors import TaskError
from thalweg.init.named import strategy_names
from thalweg.init.strategies.torch_names import torch_names
from thalweg.tasks import mlp
from thalweg.tasks.initialize import Initialization, check_initialization, started
from thalweg.train.machine.threads import threads_for


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(8, 3))


def fresh(how: Initialization | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    model = net()
    if how is not None:
        started(model, check_initialization(how))
    return model


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
    names = set(strategy_names())
    assert names >= {
        *("orthogonal", "zeros", "ones", "normal", "uniform", "trunc_normal"),
        *("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform"),
    }
    assert not names & {"constant", "calculate_gain", "from_torch"}
    for name in torch_names():
        getattr(nn.init, f"{name}_")(torch.empty(3, 3, 3) if name == "dirac" else torch.empty(3, 3))


def test_biases_gains_and_frozen_weights_stay() -> None:
    drawn, plain = fresh(), fresh()
    drawn[3].weight.requires_grad_(False)
    started(drawn, check_initialization("zeros"))
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
    for check in (check_initialization, fresh, lambda how: mlp([2, 2], initialization=how)):
        with pytest.raises(TaskError, match=message):
            check(how)  # type: ignore[arg-type]


def test_a_bare_model_runs_no_strategy_and_every_function() -> None:
    def widened(model: nn.Module) -> None:
        model.add_module("added", nn.Linear(1, 1))

    x, y = torch.randn(8, 2, 4), torch.randint(3, (8,))
    task = Task(Data((x, y)), Cost("cross_entropy"), net, init="lsuv:tol=1e-9,iterations=1")
    with pytest.raises(TaskError, match="lsuv"):
        task.build()
    assert isinstance(task.bare(), nn.Sequential)
    assert threads_for(task) == 1
    assert hasattr(task.replace(init=widened).bare(), "added")


def test_a_lazy_model_trains() -> None:
    rows = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    task = Task(
        (rows, rows.sum(1).sign().long().clamp(min=0)),
        "cross_entropy",
        lambda: nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2)),
    )
    run = fit(task, "adam", epochs=1, progress=False)
    assert run.model[0].weight.shape == (4, 5)
