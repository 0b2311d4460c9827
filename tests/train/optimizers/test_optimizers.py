from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn

import thalweg
from tests.exact import RERUN
from tests.train.helpers import blobs, other_run, quiet, same_run
from thalweg.errors import TaskError
from thalweg.train.optimizers.binding import build_optimizer
from thalweg.train.optimizers.known import learning_rate, name_of


def _model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def test_what_counts_as_an_optimizer() -> None:
    reference = quiet(blobs(), torch.optim.SGD, lr=0.1, epochs=2)
    for optimizer in (
        functools.partial(torch.optim.SGD, lr=0.1),
        lambda params, lr=0.1: torch.optim.SGD(list(params), lr=lr),
    ):
        same_run(quiet(blobs(), optimizer, lr=None, epochs=2), reference, because=RERUN)
    other_run(quiet(blobs(), torch.optim.SGD, lr=0.2, epochs=2), reference)


def test_names_are_passed_where_they_are_understood() -> None:
    bound = build_optimizer(torch.optim.Adam, _model(), 0.1)
    assert bound.param_groups[0]["param_names"] == ["0.weight", "0.bias", "1.weight", "1.bias"]

    class Own(torch.optim.SGD):
        def __init__(self, params: Any, lr: float) -> None:
            params = list(params)
            assert all(isinstance(p, nn.Parameter) for p in params)
            super().__init__(params, lr=lr)

    build_optimizer(Own, _model(), 0.1)


def test_frozen_parameters_are_left_out() -> None:
    model = _model()
    model[0].requires_grad_(False)  # type: ignore[index]
    assert len(build_optimizer(torch.optim.SGD, model, 0.1).param_groups[0]["params"]) == 2
    with pytest.raises(TaskError, match="no trainable parameters"):
        build_optimizer(torch.optim.SGD, model.requires_grad_(False), 0.1)


def test_lr_none_is_the_optimizers_default() -> None:
    assert learning_rate(build_optimizer(torch.optim.Adam, _model(), None)) == 1e-3
    assert learning_rate(build_optimizer(torch.optim.Adam, _model(), 0.5)) == 0.5


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("adam", r"got 'adam'. Did you mean thalweg\.optim\.Adam\?"),
        ("nothing", "got 'nothing'. The run binds"),
        (3, "got int"),
        (torch.optim.SGD(_model().parameters()), "SGD, already bound to parameters"),
        (lambda params, lr: 3, "returned int"),
        (functools.partial(torch.optim.SGD, momentum=-1), "SGD cannot be built: Invalid momentum"),
        (functools.partial(torch.optim.SGD, mometum=0.9), "unexpected keyword argument 'mometum'"),
    ],
)
def test_what_does_not(optimizer: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        build_optimizer(optimizer, _model(), 0.1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"betas": 1}, r"betas is 2 numbers, by default \(0.9, 0.999\); got 1\."),
        ({"betas": (0.9,)}, r"betas is 2 numbers.*got \(0.9,\)"),
        ({"betas": (0.9, "")}, "betas is 2 numbers"),
        ({"weight_decay": "abc"}, "weight_decay is a number, by default 0.*got 'abc'"),
        ({"eps": (1e-8, 1e-9)}, "eps is a number"),
    ],
)
@pytest.mark.parametrize("optimizer", [thalweg.optim.Adam, torch.optim.Adam])
def test_a_hyperparameter_of_another_kind_is_named(
    optimizer: Any, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(TaskError, match=words):
        build_optimizer(optimizer, _model(), 0.1, given)


def test_lbfgs_gets_its_closure() -> None:
    task = blobs(model=lambda: nn.Linear(2, 3).double())
    first_order = quiet(task, torch.optim.SGD, lr=0.1, epochs=10, batch_size=None)
    lbfgs = quiet(task, torch.optim.LBFGS, lr=1.0, epochs=10, batch_size=None)
    assert lbfgs.evaluate("train").loss < first_order.evaluate("train").loss - 0.1


def test_zero_grad_of_the_optimizers_own_is_called() -> None:
    calls = []

    class Own(torch.optim.SGD):
        def zero_grad(self, set_to_none: bool = True) -> None:
            calls.append(1)
            super().zero_grad(set_to_none)

    run = quiet(blobs(), Own, epochs=1)
    assert len(calls) == run.steps
    same_run(run, quiet(blobs(), torch.optim.SGD, epochs=1), because=RERUN)


def test_thalweg_optimizers_and_chains() -> None:
    @thalweg.rule
    def descent(g):  # type: ignore[no-untyped-def]
        """Plain gradient descent."""
        return g

    reference = quiet(blobs(), torch.optim.SGD, epochs=2)
    for optimizer in (thalweg.optim.SGD, thalweg.chain(descent()), descent(), descent):
        run = quiet(blobs(), optimizer, epochs=2)
        for p, q in zip(run.model.parameters(), reference.model.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14)


def test_names() -> None:
    assert name_of(torch.optim.Adam) == "Adam"
    assert name_of(functools.partial(torch.optim.SGD, momentum=0.9)) == "SGD"
