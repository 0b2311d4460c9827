"""Hyperparameters that are functions of the step: the same as setting them by hand, bit for bit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from tests.exact import differs, same
from thalweg import engine as engines
from thalweg import optim, rules
from thalweg.engine import chain
from thalweg.errors import EngineError

from .cases import Case, each_engine, each_optimizer
from .problem import follow
from .scheduling import COSINE, PROBLEM, Group, assert_same, falling, rising, walk, wave

# -- the same as by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [COSINE, wave], ids=["cosine", "a function"])
@each_engine
@each_optimizer
def test_a_learning_rate(case: Case, engine: str, schedule: Callable[[int], float]) -> None:
    def by_hand(groups: list[Group], step: int) -> None:
        groups[0]["lr"] = schedule(step)

    actual = walk(lambda p: case.ours(p, engine=engine, lr=schedule))
    expected = walk(lambda p: case.ours(p, engine=engine, lr=schedule(0)), by_hand)
    assert_same(actual, expected)


# Each: the optimizer, its arguments with schedules, and the entries of a group by the step.
OTHERS: dict[str, tuple[str, dict[str, Any], Callable[[int], Group]]] = {
    "one of a tuple": ("Adam", {"betas": (falling, 0.95)}, lambda k: {"betas": (falling(k), 0.95)}),
    "all of a tuple": (
        "Adan",
        {"betas": (falling, wave, falling), "lr": wave},
        lambda k: {"betas": (falling(k), wave(k), falling(k)), "lr": wave(k)},
    ),
    "a list": ("Lion", {"betas": [falling, 0.9]}, lambda k: {"betas": (falling(k), 0.9)}),
    "momentum": ("SGD", {"momentum": falling}, lambda k: {"momentum": falling(k)}),
    "a decay that begins at 0": (
        "Lion",
        {"weight_decay": rising},
        lambda k: {"weight_decay": rising(k)},
    ),
    "a penalty that begins at 0": (
        "Adam",
        {"weight_decay": rising},
        lambda k: {"weight_decay": rising(k)},
    ),
    "eps": (
        "RMSprop",
        {"eps": wave, "alpha": falling},
        lambda k: {"eps": wave(k), "alpha": falling(k)},
    ),
    "alpha": ("AdEMAMix", {"alpha": COSINE}, lambda k: {"alpha": COSINE(k)}),
    "before": (
        "Lion",
        {"before": rules.clip_by_value(max_value=rising)},
        lambda k: {"clip_by_value.max_value": rising(k)},
    ),
    "after": (
        "SGD",
        {"momentum": 0.9, "after": rules.lookahead(every=2, alpha=falling)},
        lambda k: {"lookahead.alpha": falling(k)},
    ),
    "step sizes": (
        "Rprop",
        {"etas": (0.5, lambda k: 1.1 + 0.01 * k)},
        lambda k: {"etas": (0.5, 1.1 + 0.01 * k)},
    ),
}


@pytest.mark.parametrize("what", OTHERS)
@each_engine
def test_any_other_number(engine: str, what: str) -> None:
    name, options, entries = OTHERS[what]
    make = functools.partial(getattr(optim, name), engine=engine)
    options = {"lr": 0.01, **options}
    first = {key: entries(0).get(key, value) for key, value in options.items()}
    if "before" in options:  # the entry has another name than the argument
        first["before"] = rules.clip_by_value(max_value=rising(0))
    if "after" in options:
        first["after"] = rules.lookahead(every=2, alpha=falling(0))

    def by_hand(groups: list[Group], step: int) -> None:
        assert set(entries(step)) <= set(groups[0])
        groups[0].update(entries(step))

    actual = walk(lambda p: make(p, **options))
    assert_same(actual, walk(lambda p: make(p, **first), by_hand))
    constant = walk(lambda p: make(p, **first))
    differs(actual[-1][-1], constant[-1][-1])


@each_engine
def test_in_a_chain(engine: str) -> None:
    """Hyperparameters of any rule of `Optimizer`, by the chain's names."""

    def made(limit: Any, beta2: Any, strength: Any) -> Any:
        return chain(
            rules.clip_by_norm(max_norm=limit),
            rules.adam(beta2=beta2),
            rules.decay(weight_decay=strength),
        )

    def by_hand(groups: list[Group], k: int) -> None:
        groups[0].update(max_norm=1.0 + k, beta2=falling(k), weight_decay=rising(k), lr=COSINE(k))

    scheduled = made(lambda k: 1.0 + k, falling, rising)
    actual = walk(lambda p: optim.Optimizer(p, scheduled, lr=COSINE, engine=engine))
    plain = made(1.0, 0.9, 0.0)
    assert_same(actual, walk(lambda p: optim.Optimizer(p, plain, engine=engine), by_hand))


@each_engine
@pytest.mark.parametrize("name", ["Adam", "Lion"])
def test_groups_have_schedules_of_their_own(name: str, engine: str) -> None:
    """A group's own schedule or number comes before the schedule of the optimizer."""
    make = functools.partial(getattr(optim, name), engine=engine)

    def groups(p: list[Parameter], *lrs: Any) -> list[Group]:
        return [
            {"params": [q], **({} if lr is None else {"lr": lr})}
            for q, lr in zip(p, lrs, strict=True)
        ]

    def by_hand(all_: list[Group], k: int) -> None:
        for group, lr in zip(all_, (wave(k), COSINE(k), 0.005, COSINE(k)), strict=True):
            group["lr"] = lr

    actual = walk(lambda p: make(groups(p, wave, None, 0.005, None), lr=COSINE))
    assert_same(actual, walk(lambda p: make(groups(p, *[0.1] * 4)), by_hand))


@each_engine
@each_optimizer
def test_nothing_is_compiled_anew(case: Case, engine: str) -> None:
    parameters = PROBLEM.parameters(torch.float32)
    optimizer = case.ours(parameters, engine=engine, lr=COSINE)
    follow(PROBLEM, parameters, optimizer, steps=2)
    before = engines.compilations()
    follow(PROBLEM, parameters, optimizer, steps=5, start=2)
    assert engines.compilations() == before


# -- what a group shows -------------------------------------------------------------------------------


def test_a_group_holds_the_value_of_its_last_step() -> None:
    """At first that of the step to come; then a number like any other."""
    p = Parameter(torch.zeros(1))
    p.grad = torch.ones(1)
    optimizer = optim.Adam([p], lr=COSINE, betas=(falling, 0.95))
    (group,) = optimizer.param_groups
    assert group["lr"] == COSINE(0)
    for k in range(5):
        optimizer.step()
        assert group["lr"] == COSINE(k)
        assert group["betas"] == (falling(k), 0.95)
        assert isinstance(group["lr"], float)
        assert group["scheduled_step"] == k + 1
    assert optimizer.defaults["lr"] == COSINE(0)
    assert "Adam (" in repr(optimizer)
    assert "scheduled_step" not in optim.Adam([p], lr=0.1).param_groups[0]


@each_engine
@pytest.mark.parametrize("name", ["Adam", "Lion"])
def test_a_number_set_by_hand_is_refused(name: str, engine: str) -> None:
    """The schedule would set it again, in silence; and nothing moves."""
    p = Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    optimizer = getattr(optim, name)([p], lr=COSINE, betas=(falling, 0.95), engine=engine)
    optimizer.step()
    here = p.detach().clone()
    (group,) = optimizer.param_groups
    for key, wrong in (("lr", 100.0), ("betas", (0.5, 0.95))):
        before, group[key] = group[key], wrong
        with pytest.raises(ValueError, match=rf"has {key}=.* not both"):
            optimizer.step()
        group[key] = before
    same(p, here, because="nothing wrote to it")
    optimizer.step()
    assert group["scheduled_step"] == 2
    differs(p, here)


@each_engine
def test_steps_without_gradients_count_and_failed_ones_do_not(engine: str) -> None:
    p = Parameter(torch.zeros(2))
    optimizer = optim.Lion([p], lr=COSINE, engine=engine, after=rules.ema())
    for _ in range(3):
        optimizer.step()
    (group,) = optimizer.param_groups
    assert group["scheduled_step"] == 3
    p.grad = torch.ones(2)
    optimizer.step()
    assert p[0].item() == pytest.approx(-COSINE(3), rel=1e-6)
    with optimizer.evaluating(), pytest.raises(EngineError):
        optimizer.step()
    p.data = torch.zeros(3)  # of another shape than its gradient
    with pytest.raises(RuntimeError, match=r"shape|size"):
        optimizer.step()
    assert group["scheduled_step"] == 4
    p.data = torch.zeros(2)
    optimizer.state.clear()
    optimizer.step()  # with the value of the step that failed
    assert p[0].item() == pytest.approx(-COSINE(4), rel=1e-6)
    assert group["scheduled_step"] == 5
