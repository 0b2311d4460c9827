"""States are the user's to edit: step numbers too, whatever is put there, and whatever else is kept there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

import thalweg
from tests.exact import RERUN, close, same
from thalweg import optim, rules

from .cases import Case, each_engine, each_optimizer
from .problem import default_dtype

Edit = Callable[[dict[str, Any]], None]


def assign_tensor(state: dict[str, Any]) -> None:
    state["step"] = torch.tensor(0.0)


def assign_whole_tensor(state: dict[str, Any]) -> None:
    state["step"] = torch.tensor(0)


def assign_number(state: dict[str, Any]) -> None:
    state["step"] = 0


def fill(state: dict[str, Any]) -> None:
    state["step"].fill_(0.0)


def fill_data(state: dict[str, Any]) -> None:
    state["step"].data.zero_()


def write_by_numpy(state: dict[str, Any]) -> None:
    state["step"].numpy()[...] = 0.0


EDITS = [assign_tensor, assign_whole_tensor, assign_number, fill, fill_data, write_by_numpy]


@each_engine
@pytest.mark.parametrize("edit", EDITS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("which", [0, 1])
def test_a_step_number_may_be_set(edit: Edit, which: int, engine: str) -> None:
    """Adam begun again for one of three parameters, as torch.optim does it."""

    def run(make: Callable[..., Optimizer], edit: Edit, **kwargs: Any) -> list[list[Tensor]]:
        params = [Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(3)]
        optimizer = make(params, lr=0.1, **kwargs)
        for k in range(10):
            for n, p in enumerate(params):
                p.grad = torch.full_like(p, (1.0 if k % 2 else -3.0) + n)
            if k == 5:
                state = optimizer.state[params[which]]
                state["exp_avg"].zero_()
                state["exp_avg_sq"].zero_()
                edit(state)
            optimizer.step()
        steps = [torch.as_tensor(optimizer.state[p]["step"]).double() for p in params]
        return [[p.detach() for p in params], steps]

    expected, steps = run(torch.optim.Adam, assign_tensor)
    actual, counted = run(optim.Adam, edit, engine=engine)
    close(actual, expected, ulps=64, because="a kernel rounds in another order")
    same(counted, steps, because="integers")


@each_engine
def test_a_step_number_that_is_no_number_is_kept_apart(engine: str) -> None:
    """NaN, which is not equal to itself, is one step number like others."""
    params = [Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = optim.Adam(params, lr=0.1, engine=engine)
    for k in range(4):
        for p in params:
            p.grad = torch.ones(2)
        if k == 2:
            optimizer.state[params[0]]["step"] = torch.tensor(float("nan"))
        optimizer.step()
    assert optimizer.state[params[1]]["step"] == 4
    assert params[1].isfinite().all()


@each_engine
def test_a_scalar_state_may_be_set(engine: str) -> None:
    """NAdam's product of momenta."""
    ends = []
    for module, kwargs in ((torch.optim, {}), (optim, {"engine": engine})):
        p = Parameter(torch.ones(3, dtype=torch.float64))
        optimizer = module.NAdam([p], lr=0.1, **kwargs)
        with default_dtype(torch.float64):  # of the product that PyTorch keeps
            for k in range(6):
                p.grad = torch.arange(3.0, dtype=torch.float64) + k
                if k == 3:
                    optimizer.state[p]["mu_product"] = torch.tensor(0.5)
                optimizer.step()
        ends.append(p.detach())
    close(ends[1], ends[0], ulps=64, because="a kernel rounds in another order")


@each_engine
@each_optimizer
def test_what_others_keep_in_a_state_changes_nothing(case: Case, engine: str) -> None:
    """Before the first step too, when the state holds nothing else."""
    ends = []
    for mine in (False, True):
        p = Parameter(torch.ones(4, 2, dtype=torch.float64))
        optimizer = case.ours([p], engine=engine)
        if mine:
            optimizer.state[p]["anchor"] = p.detach().clone()
            optimizer.state[p]["count"] = 3
        for k in range(3):
            p.grad = torch.tensor([[1.0, -2.0]] * 4, dtype=torch.float64) + k
            optimizer.step()
        ends.append(p.detach())
    same(ends[1], ends[0], because="the same instructions on the same shapes")


@each_engine
def test_a_state_of_pytorchs_sgd_is_a_step_over(engine: str) -> None:
    """It counts no steps; its buffer says that the first one, which dampening spares, is over."""
    p = Parameter(torch.zeros(2))
    theirs = torch.optim.SGD([p], lr=1.0, momentum=0.5, dampening=0.5)
    p.grad = torch.ones(2)
    theirs.step()
    q = Parameter(p.detach().clone())
    ours = optim.SGD([q], lr=1.0, momentum=0.5, dampening=0.5, engine=engine)
    ours.load_state_dict(theirs.state_dict())
    q.grad = torch.ones(2)
    theirs.step()
    ours.step()
    same(q.detach(), p.detach(), because="dyadic numbers of few digits")


@each_engine
def test_edits_between_steps_of_other_parameters(engine: str) -> None:
    """Plans of several patterns of gradients share their numbers; an edit is seen by whichever is next."""
    a, b = (Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = thalweg.Optimizer([a, b], rules.adam(), lr=0.1, engine=engine)
    pattern = [(a, b), (a,), (a, b), (b,), (a, b), (a,)]
    for k, present in enumerate(pattern):
        for p in (a, b):
            p.grad = torch.ones(1) if p in set(present) else None
        if k == 3:
            optimizer.state[a]["step"].fill_(10.0)
        optimizer.step()
    assert optimizer.state[a]["step"] == 12
    assert optimizer.state[b]["step"] == 4


@pytest.mark.parametrize("other", ["SGD", "AdamW"])
def test_a_state_of_another_optimizer_is_no_beginning(other: str) -> None:
    """Prodigy's first step keeps where it began: a second step without that would divide by nothing."""
    ends = []
    for loads in (False, True):
        w, beside = Parameter(torch.ones(3)), Parameter(torch.ones(3))
        theirs, ours = getattr(optim, other)([beside]), optim.Prodigy([w])
        w.grad = beside.grad = torch.ones(3)
        theirs.step()
        if loads:
            ours.load_state_dict({**ours.state_dict(), "state": theirs.state_dict()["state"]})
        for _ in range(3):
            ours.step()
        ends.append(w.detach())
    same(*ends, because=RERUN)
