"""Each meaning of weight decay on each optimizer: what it adds to a step, in closed form."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.exact import RERUN, differs, same
from thalweg import optim
from thalweg.errors import suggest

from .cases import OPTIMIZERS, RICHEST, Case, each_engine
from .oracle import TOLERANCE
from .problem import recorded

pytestmark = pytest.mark.sampled(6)

EXACT = TOLERANCE[torch.float64]
PROBLEM = recorded([(9,), (4, 3)], steps=4, seed=12)
LR, STRENGTH = 0.02, 0.3
MEANINGS = ("l2", "decoupled", "independent", "cautious", "proximal")
DECAYING = [case for case in RICHEST if "weight_decay" in case.parameters]
# For plain descent the gradient of the penalty, times lr, is what the decoupled decay takes off.
SAME = {"SGD": [("l2", "decoupled")], "SGLD": [("l2", "decoupled")]}
# By the equations of these the decay is not a link beside the rules.
INSIDE = {
    "LAMB",
    "LARS",
    "Prodigy",
    "DAdaptAdam",
    "ScheduleFreeSGD",
    "ScheduleFreeAdamW",
}

each_meaning = pytest.mark.parametrize("meaning", MEANINGS)
each_name = pytest.mark.parametrize("name", [case.optimizer for case in DECAYING])


def options(name: str) -> dict[str, Any]:
    """Options with which a few steps are large, without any weight decay."""
    given = {"lr": LR}
    if name in ("DoG", "LDoG"):
        given["relative"] = 0.1
    if name in ("Prodigy", "DAdaptAdam"):
        given["d0"] = 0.1
    return given


def snapshot(parameters: list[Parameter]) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


def with_gradients(parameters: list[Parameter], gradients: list[Tensor]) -> None:
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.clone()


def after(meaning: str, x: Tensor, p: Tensor) -> Tensor:
    """Return where the decay leads from x, the point to which the step alone has led from p."""
    if meaning == "decoupled":
        return x - LR * STRENGTH * p
    if meaning == "independent":
        return x - STRENGTH * p
    if meaning == "cautious":
        return torch.where((p - x) * p >= 0.0, x - LR * STRENGTH * p, x)
    assert meaning == "proximal"
    return x / (1.0 + LR * STRENGTH)


@each_meaning
@each_engine
@each_name
def test_what_a_decay_adds_to_a_step(name: str, engine: str, meaning: str) -> None:
    """At every step: the same step without it, from the same states, and the closed form.

    Of an ascent, in which alone the sign of a penalty shows.
    """
    parameters = PROBLEM.parameters()
    given = {**options(name), "maximize": True, "engine": engine}
    optimizer = getattr(optim, name)(parameters, weight_decay=STRENGTH, decay=meaning, **given)
    for step in range(3):
        gradients = PROBLEM.gradient(step, parameters)
        before = snapshot(parameters)
        plain = copy.deepcopy(optimizer)
        (group,) = plain.param_groups
        group["weight_decay"] = 0.0
        penalized = [g - STRENGTH * p for g, p in zip(gradients, before, strict=True)]
        with_gradients(group["params"], penalized if meaning == "l2" else gradients)
        plain.step()
        expected = snapshot(group["params"])
        if meaning != "l2":
            expected = [after(meaning, x, p) for x, p in zip(expected, before, strict=True)]
        with_gradients(parameters, gradients)
        optimizer.step()
        for p, x, start in zip(parameters, expected, before, strict=True):
            torch.testing.assert_close(p.detach(), x, rtol=EXACT, atol=EXACT)
            if (name, meaning, step) != ("ADOPT", "l2", 0):  # it only looks at its first gradient
                differs(p, start)


@each_engine
@each_name
def test_the_meanings_are_different(name: str, engine: str) -> None:
    ends = {}
    for meaning in MEANINGS:
        parameters = PROBLEM.parameters()
        given = {**options(name), "weight_decay": STRENGTH, "decay": meaning}
        optimizer = getattr(optim, name)(parameters, engine=engine, **given)
        for step in range(3):
            with_gradients(parameters, PROBLEM.gradient(step, parameters))
            optimizer.step()
        ends[meaning] = torch.cat([p.detach().flatten() for p in parameters])
    for one, other in itertools.combinations(MEANINGS, 2):
        difference = (ends[one] - ends[other]).abs().max()
        is_same = (one, other) in SAME.get(name, [])
        assert (difference < EXACT) == is_same, (one, other)


@each_engine
@each_name
def test_the_default_meaning(name: str, engine: str) -> None:
    """What the signature says; of torch's own the penalty, and of AdamW the decoupled."""
    default = Case(name).parameters["decay"].default
    if default is None:
        default = "decoupled" if name == "AdamW" else "l2"
    assert (default == "inside") == (name in INSIDE)
    ends = []
    for chosen in ({}, {"decay": default}):
        parameters = PROBLEM.parameters()
        given = {**options(name), "weight_decay": STRENGTH, **chosen}
        optimizer = getattr(optim, name)(parameters, engine=engine, **given)
        for step in range(3):
            with_gradients(parameters, PROBLEM.gradient(step, parameters))
            optimizer.step()
        ends.append(snapshot(parameters))
    same(*ends, because=RERUN)


@each_engine
@pytest.mark.parametrize("name", ["Adam", "NAdam", "RAdam"])
def test_decay_comes_before_torchs_flag(name: str, engine: str) -> None:
    """`decoupled_weight_decay=True` is decay="decoupled", unless another meaning is given."""

    def end(**given: Any) -> list[Tensor]:
        parameters = PROBLEM.parameters()
        make = getattr(optim, name)
        optimizer = make(parameters, lr=LR, weight_decay=STRENGTH, engine=engine, **given)
        with_gradients(parameters, PROBLEM.gradient(0, parameters))
        optimizer.step()
        return snapshot(parameters)

    flagged = end(decoupled_weight_decay=True)
    same(flagged, end(decay="decoupled"), because=RERUN)
    for meaning in ("l2", "proximal"):
        chosen = end(decoupled_weight_decay=True, decay=meaning)
        same(chosen, end(decay=meaning), because=RERUN)
        differs(chosen, flagged, everywhere=True)


@each_engine
@each_meaning
def test_a_group_may_decay_alone(engine: str, meaning: str) -> None:
    """Weight decay is an entry of groups; 0 there is none, and not yet or no more is possible."""
    parameters = PROBLEM.parameters()
    groups = [{"params": parameters[:1], "weight_decay": 0.0}, {"params": parameters[1:]}]
    optimizer = optim.LaProp(groups, lr=LR, weight_decay=STRENGTH, decay=meaning, engine=engine)
    copies = PROBLEM.parameters()
    plain = optim.LaProp(copies, lr=LR, engine=engine)
    for step in range(3):
        gradients = PROBLEM.gradient(step, parameters)
        for chosen, one in ((parameters, optimizer), (copies, plain)):
            with_gradients(chosen, gradients)
            one.step()
    same(parameters[0], copies[0], because=RERUN)
    differs(parameters[1], copies[1])
    optimizer.param_groups[1]["weight_decay"] = 0.0
    with torch.no_grad():
        parameters[1].copy_(copies[1])
    for key, value in plain.state[copies[1]].items():
        optimizer.state[parameters[1]][key].copy_(value)
    gradients = PROBLEM.gradient(3, parameters)
    for chosen, one in ((parameters, optimizer), (copies, plain)):
        with_gradients(chosen, gradients)
        one.step()
    same(parameters[1], copies[1], because=RERUN)


@each_engine
@each_name
def test_at_the_rate_zero_only_the_independent_decays(name: str, engine: str) -> None:
    for meaning in MEANINGS:
        parameters = PROBLEM.parameters()
        given = {**options(name), "lr": 0.0, "weight_decay": STRENGTH, "decay": meaning}
        optimizer = getattr(optim, name)(parameters, engine=engine, **given)
        with_gradients(parameters, PROBLEM.gradient(0, parameters))
        optimizer.step()
        shrunk = 1.0 - STRENGTH if meaning == "independent" else 1.0
        for p, start in zip(parameters, PROBLEM.starts, strict=True):
            torch.testing.assert_close(p.detach(), shrunk * start, rtol=EXACT, atol=0.0)


@each_engine
def test_the_cautious_decay_where_nothing_moves(engine: str) -> None:
    """Not against a step that grows the weight; with one that shrinks it, or without any."""
    start = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0], dtype=torch.float64)
    p = Parameter(start.clone())
    p.grad = torch.tensor([1.0, 0.0, -1.0, 1.0, 0.0, -1.0], dtype=torch.float64)
    optim.SGD([p], lr=0.1, weight_decay=0.5, decay="cautious", engine=engine).step()
    decays = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    expected = start - 0.1 * p.grad - 0.1 * 0.5 * decays * start
    torch.testing.assert_close(p.detach(), expected, rtol=1e-15, atol=0.0)


# -- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_unknown_meaning_is_refused_with_those_there_are(name: str) -> None:
    for wrong in ("decouple", "L2", "indpendent", "weight"):
        with pytest.raises(ValueError, match=rf"decay must be one of .*; got '{wrong}'") as caught:
            Case(name).ours([Parameter(torch.zeros(1))], decay=wrong)
        assert all(meaning in str(caught.value) for meaning in MEANINGS)
        assert suggest(wrong, MEANINGS) in str(caught.value)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in INSIDE])
def test_inside_is_a_meaning_of_some_alone(name: str) -> None:
    with pytest.raises(ValueError, match=r"decay must be one of .*; got 'inside'"):
        Case(name).ours([Parameter(torch.zeros(1))], decay="inside")
