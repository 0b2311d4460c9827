"""Evaluating at an average: the right point, the way back, and what must not happen meanwhile."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.swa_utils import update_bn

from tests.exact import RERUN, RESUMED, differs, is_same, same
from thalweg import optim, rules
from thalweg.engine import chain
from thalweg.errors import EngineError

from .cases import CASES, Case, each, each_engine
from .oracle import FEW, TOLERANCE
from .problem import default_dtype, follow, give_gradients, recorded, snapshot
from .references import average

EXACT = TOLERANCE[torch.float64]
PROBLEM = recorded([(5,), (3, 4), (), (37,)], steps=24, seed=21)


def has_average(case: Case) -> bool:
    """Whether the case is one of those whose model is evaluated elsewhere."""
    after = case.options.get("after", ())
    links = after if isinstance(after, list) else [after]
    averages = {"ema", "polyak", "swa"}
    named = any(link.rule.name in averages for link in links if link)
    return named or case.optimizer in ("ScheduleFreeSGD", "ScheduleFreeAdamW", "ASGD")


AVERAGING = [case for case in CASES if has_average(case)]


# -- the right point ----------------------------------------------------------------------------------


def expected_averages(oracle: Optimizer, case: Case, parameters: list[Parameter]) -> list[Tensor]:
    """Return where the oracle has the points of evaluation."""
    states = [oracle.state[p] for p in parameters]
    if case.optimizer == "ASGD":
        kept = [s["ax"] if case.has_twin else s["of the reference"]["average"] for s in states]
    elif case.optimizer.startswith("ScheduleFree"):
        kept = [s["of the reference"]["x"] for s in states]
    elif case.is_coupled:
        (of_all,) = ends(states[0]["of the reference"])
        kept = [s["evaluated"] for s in of_all]
    else:
        kept = [ends(s["of the reference"])[0][0]["evaluated"] for s in states]
    return [torch.as_tensor(x) for x in kept]


def ends(state: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the states of the averages among the links after the step."""
    found = [s["each"] for key, s in state.items() if key.startswith("ending")]
    return [each for each in found if "evaluated" in each[0]]


@each_engine
@each(AVERAGING)
def test_every_step_is_evaluated_where_the_oracle_says(case: Case, engine: str) -> None:
    """And training goes on as if nobody had looked."""
    parameters, copies, unseen = FEW.parameters(), FEW.parameters(), FEW.parameters()
    optimizer = case.ours(parameters, engine=engine)
    plain = case.ours(unseen, engine=engine)
    with default_dtype(torch.float64):
        oracle = case.oracle(copies)
    elsewhere = 0
    for step in range(12):
        with default_dtype(torch.float64):
            follow(FEW, copies, oracle, steps=1, start=step)
        (point,) = follow(FEW, parameters, optimizer, steps=1, start=step)
        with optimizer.evaluating():
            evaluated = snapshot(parameters)
        for a, e in zip(evaluated, expected_averages(oracle, case, copies), strict=True):
            torch.testing.assert_close(a, e, rtol=EXACT, atol=EXACT)
        why = "the average of one point is the point"
        pairs = zip(evaluated, point, strict=True)
        elsewhere += not any(is_same(a, e, because=why) for a, e in pairs)
        same(snapshot(parameters), point, because="a copy was put back")
        same(point, follow(FEW, unseen, plain, steps=1, start=step)[0], because=RERUN)
    assert elsewhere or case.optimizer == "ASGD"  # whose average begins at t0


AVERAGES: dict[str, tuple[Any, Callable[..., Any], dict[str, Any]]] = {
    "ema": (rules.ema(decay=0.8), average.ema, {"decay": 0.8}),
    "ema, warm": (rules.ema(decay=0.9, warmup=True), average.ema, {"decay": 0.9, "warmup": True}),
    "polyak": (rules.polyak(start=3), average.polyak, {"start": 3}),
    "swa": (rules.swa(start=2, every=3), average.swa, {"start": 2, "every": 3}),
}
FACES: dict[str, Callable[..., Optimizer]] = {
    "torch's": lambda p, link, e: optim.SGD(p, lr=0.05, momentum=0.9, after=link, engine=e),
    "named": lambda p, link, e: optim.Lion(p, lr=0.05, after=[rules.lookahead(), link], engine=e),
    "a chain": lambda p, link, e: optim.Optimizer(p, chain(rules.adam(), link), 0.05, engine=e),
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", AVERAGES)
@each_engine
def test_each_average_is_that_of_the_points(name: str, face: str, engine: str) -> None:
    """By the transcriptions, of the points that the parameters really had."""
    link, transcribed, options = AVERAGES[name]
    parameters = PROBLEM.parameters()
    optimizer = FACES[face](parameters, link, engine)
    states: list[dict[str, Any]] = [{} for _ in parameters]
    for t in range(1, 13):
        (point,) = follow(PROBLEM, parameters, optimizer, steps=1, start=t - 1)
        expected = [
            transcribed(x.numpy(), s, t=t, **options) for x, s in zip(point, states, strict=True)
        ]
        with optimizer.evaluating():
            for p, e in zip(parameters, expected, strict=True):
                np.testing.assert_allclose(p.detach().numpy(), e, rtol=EXACT, atol=EXACT)


@each_engine
def test_the_last_average_of_several_counts(engine: str) -> None:
    """And groups may differ in its numbers, at once when they change."""
    parameters = PROBLEM.parameters()
    groups = [{"params": parameters[:2]}, {"params": parameters[2:], "ema.decay": 0.0}]
    link = [rules.polyak(), rules.ema(decay=1.0)]
    optimizer = optim.SGD(groups, lr=0.1, after=link, engine=engine)
    first, second = follow(PROBLEM, parameters, optimizer, steps=2)
    with optimizer.evaluating():
        same(snapshot(parameters)[:2], first[:2], because="a copy")
        same(snapshot(parameters)[2:], second[2:], because="a copy")


def test_a_parameter_without_a_step_stays() -> None:
    parameters = [Parameter(torch.ones(2)), Parameter(torch.ones(2))]
    optimizer = optim.SGD(parameters, lr=1.0, after=rules.ema(decay=0.5))
    with optimizer.evaluating():
        assert all((p == 1.0).all() for p in parameters)
    for _ in range(2):
        parameters[0].grad = torch.ones(2)
        optimizer.step()
    with optimizer.evaluating():
        assert (parameters[0] == -0.5).all()
        assert (parameters[1] == 1.0).all()
    assert (parameters[0] == -1.0).all()
    assert not optimizer.state.get(parameters[1])


# -- the way back -------------------------------------------------------------------------------------

KINDS = {
    "schedule-free": lambda p, e: optim.ScheduleFreeAdamW(p, lr=0.05, engine=e),
    "ema": lambda p, e: optim.Adam(p, lr=0.05, after=rules.ema(decay=0.7), engine=e),
    "swa": lambda p, e: optim.Lion(p, lr=0.05, after=rules.swa(every=2), engine=e),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@each_kind
@each_engine
def test_the_way_back_is_exact(kind: str, engine: str, dtype: torch.dtype) -> None:
    """Bit for bit, in place, of any layout; autograd sees both moves."""
    start = recorded([(6, 4)], steps=5)
    parameters = [*start.parameters(dtype), Parameter(start.starts[0].to(dtype).t())]
    parameters[0].data[0, 0] = -0.0
    assert not parameters[1].is_contiguous()
    optimizer = KINDS[kind](parameters, engine)
    for step in range(5):
        g = start.gradient(step, [])[0].to(dtype)
        parameters[0].grad, parameters[1].grad = g, g.t()
        optimizer.step()
    before = [p.detach().clone() for p in parameters]
    addresses = [p.data_ptr() for p in parameters]
    stale = (parameters[0] * parameters[0]).sum()
    optimizer.eval()
    differs(parameters, before, everywhere=True)
    for p in parameters:
        assert p.dtype == dtype
        assert p.requires_grad
        assert p.is_leaf
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stale.backward()
    optimizer.train()
    same(parameters, before, because="a copy was put back")
    assert [p.data_ptr() for p in parameters] == addresses
    assert [p.stride() for p in parameters] == [(4, 1), (1, 4)]


@each_kind
@each_engine
def test_calls_may_be_repeated_and_nested(kind: str, engine: str) -> None:
    parameters = PROBLEM.parameters()
    optimizer = KINDS[kind](parameters, engine)
    (*_, trained) = follow(PROBLEM, parameters, optimizer, steps=5)
    optimizer.train()
    same(snapshot(parameters), trained, because="nothing wrote to it")
    optimizer.eval()
    evaluated = snapshot(parameters)
    optimizer.eval()
    same(snapshot(parameters), evaluated, because="nothing wrote to it")
    with optimizer.evaluating(), optimizer.evaluating():
        same(snapshot(parameters), evaluated, because="nothing wrote to it")
    same(snapshot(parameters), evaluated, because="nothing wrote to it")  # it was evaluating before
    optimizer.train()
    optimizer.train()
    same(snapshot(parameters), trained, because="a copy was put back")


@each_kind
@each_engine
def test_an_exception_leads_back(kind: str, engine: str) -> None:
    parameters = PROBLEM.parameters()
    optimizer = KINDS[kind](parameters, engine)
    (*_, trained) = follow(PROBLEM, parameters, optimizer, steps=5)
    with pytest.raises(KeyError, match="in the middle"), optimizer.evaluating():
        raise KeyError("in the middle")
    same(snapshot(parameters), trained, because="a copy was put back")
    follow(PROBLEM, parameters, optimizer, steps=1, start=5)


@each_kind
@each_engine
def test_no_step_is_taken_at_an_average(kind: str, engine: str) -> None:
    """It is refused before the closure's gradients do anything, and after train() all goes on."""
    parameters, copies = PROBLEM.parameters(), PROBLEM.parameters()
    optimizer, plain = KINDS[kind](parameters, engine), KINDS[kind](copies, engine)
    follow(PROBLEM, parameters, optimizer, steps=5)
    expected = follow(PROBLEM, copies, plain, steps=9)[5:]
    optimizer.eval()
    evaluated = snapshot(parameters)
    states = copy.deepcopy(optimizer.state_dict()["state"])
    give_gradients(PROBLEM, 5, parameters)
    for closure in (None, lambda: torch.tensor(1.0)):
        with pytest.raises(EngineError, match=r"optimizer\.train\(\) before the next step"):
            optimizer.step(closure)
    same(snapshot(parameters), evaluated, because="nothing wrote to it")
    for k, state in optimizer.state_dict()["state"].items():
        same(state, states[k], because="nothing wrote to it")
    optimizer.train()
    actual = follow(PROBLEM, parameters, optimizer, steps=4, start=5)
    for a, e in zip(actual, expected, strict=True):
        same(a, e, because=RERUN)


# -- checkpoints and copies ---------------------------------------------------------------------------


@each_kind
@each_engine
def test_a_checkpoint_taken_while_evaluating(kind: str, engine: str, tmp_path: Path) -> None:
    """It holds the average as the model and the trained point as a state: training goes on from it."""
    parameters = PROBLEM.parameters()
    optimizer = KINDS[kind](parameters, engine)
    (*_, trained) = follow(PROBLEM, parameters, optimizer, steps=5)
    optimizer.eval()
    evaluated = snapshot(parameters)
    torch.save([optimizer.state_dict(), evaluated], tmp_path / "run.pt")
    saved, model = torch.load(tmp_path / "run.pt", weights_only=True)
    copies = [Parameter(x.clone()) for x in model]
    resumed = KINDS[kind](copies, engine)
    resumed.load_state_dict(saved)
    same(snapshot(copies), evaluated, because="a copy")
    with pytest.raises(EngineError, match="train"):
        resumed.step()
    resumed.train()
    same(snapshot(copies), trained, because="a copy was put back")
    assert not any("trained_point" in state for state in resumed.state.values())
    optimizer.train()
    actual = follow(PROBLEM, copies, resumed, steps=4, start=5)
    expected = follow(PROBLEM, parameters, optimizer, steps=4, start=5)
    for a, e in zip(actual, expected, strict=True):
        same(a, e, because=RESUMED)


@each_kind
@each_engine
def test_a_checkpoint_from_training_ends_an_evaluation(kind: str, engine: str) -> None:
    """With the model of the checkpoint: the next step needs no train()."""
    parameters, copies = PROBLEM.parameters(), PROBLEM.parameters()
    optimizer, other = KINDS[kind](parameters, engine), KINDS[kind](copies, engine)
    (*_, model) = follow(PROBLEM, parameters, optimizer, steps=5)
    follow(PROBLEM, copies, other, steps=2)
    other.eval()
    other.load_state_dict(optimizer.state_dict())
    for p, x in zip(copies, model, strict=True):
        p.data.copy_(x)
    actual = follow(PROBLEM, copies, other, steps=3, start=5)
    expected = follow(PROBLEM, parameters, optimizer, steps=3, start=5)
    for a, e in zip(actual, expected, strict=True):
        same(a, e, because=RESUMED)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@each_kind
@each_engine
def test_copies_taken_while_evaluating(
    kind: str, engine: str, way: Callable[[Optimizer], Any]
) -> None:
    parameters = PROBLEM.parameters()
    optimizer = KINDS[kind](parameters, engine)
    (*_, trained) = follow(PROBLEM, parameters, optimizer, steps=5)
    optimizer.eval()
    twin = way(optimizer)
    copies = twin.param_groups[0]["params"]
    same(copies, parameters, because="a copy")
    twin.train()
    same(snapshot(copies), trained, because="a copy was put back")
    differs(snapshot(parameters), trained, everywhere=True)  # the original stays there
    optimizer.train()
    actual = follow(PROBLEM, copies, twin, steps=3, start=5)
    for a, e in zip(actual, follow(PROBLEM, parameters, optimizer, steps=3, start=5), strict=True):
        same(a, e, because=RESUMED)


# -- without an average -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam", "Lion", "LAMB", "DoG"])
def test_without_an_average_there_is_nowhere_to_go(name: str) -> None:
    """Training loops call eval() and train() on what has them; who asks for an average is told."""
    p = Parameter(torch.ones(2))
    optimizer = getattr(optim, name)([p])
    for step in range(2):
        optimizer.eval()
        optimizer.eval()
        p.grad = torch.ones(2)
        optimizer.step()  # it is not evaluating
        assert optimizer.state[p]["step"] == step + 1
        optimizer.train()
    with (
        pytest.raises(EngineError, match=r"keeps no average.*ema\(decay=0.999\)"),
        optimizer.evaluating(),
    ):
        pass


@each_engine
def test_schedule_free_without_interpolation_has_no_average(engine: str) -> None:
    """With β = 0 the parameter is z itself, and x is not known; no group is left moved."""
    parameters = [Parameter(torch.ones(2)), Parameter(torch.ones(2))]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "beta": 0.0}]
    optimizer = optim.ScheduleFreeSGD(groups, lr=0.5, engine=engine)
    for _ in range(2):
        for p in parameters:
            p.grad = torch.ones(2)
        optimizer.step()
    before = snapshot(parameters)
    with pytest.raises(EngineError, match="beta=0"):
        optimizer.eval()
    same(snapshot(parameters), before, because="nothing wrote to it")
    optimizer.step()


# -- batch normalization ------------------------------------------------------------------------------


@each_engine
def test_batch_normalisation_is_calibrated_at_the_average(engine: str) -> None:
    """`update_bn` inside the context: statistics of the averaged weights, over the whole data."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()
    x = torch.randn(60, 3, dtype=torch.float64) + 2.0
    y = x.square().sum(dim=1, keepdim=True)
    optimizer = optim.AdamW(model, lr=0.05, after=rules.polyak(), engine=engine)
    loss_of = functools.partial(nn.functional.mse_loss, target=y)
    for _ in range(30):
        optimizer.zero_grad()
        loss_of(model(x)).backward()
        optimizer.step()
    trained = snapshot(list(model.parameters()))
    tail = model[1].running_mean.clone()
    with optimizer.evaluating():
        hidden = model[0](x).detach()
        update_bn(x.split(20), model)  # batches of one size: their mean is that of all
        model.eval()
        torch.testing.assert_close(model[1].running_mean, hidden.mean(dim=0), rtol=1e-12, atol=0.0)
        expected = torch.stack([part.var(dim=0) for part in hidden.split(20)]).mean(dim=0)
        torch.testing.assert_close(model[1].running_var, expected, rtol=1e-12, atol=0.0)
        calibrated = loss_of(model(x)).item()
        model[1].running_mean.copy_(tail)
        assert loss_of(model(x)).item() > calibrated
        model.train()
    same(snapshot(list(model.parameters())), trained, because="a copy was put back")
    optimizer.zero_grad()
    loss_of(model(x)).backward()
    optimizer.step()
