"""Links around an optimizer's own rules: each does to any optimizer what it says, and no more."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from tests.exact import same
from thalweg import optim, rules
from thalweg.errors import EngineError, RuleError

from .cases import RICHEST, Case, each, each_engine, each_optimizer
from .oracle import FEW, TOLERANCE
from .problem import Problem, assert_same_path, follow, snapshot

EXACT = TOLERANCE[torch.float64]
Path = list[list[Tensor]]
STEPS = 7


def path(case: Case, engine: str, problem: Problem = FEW, **options: Any) -> Path:
    parameters = problem.parameters()
    optimizer = case.ours(parameters, engine=engine, **options)
    return follow(problem, parameters, optimizer, steps=STEPS)


def transformed(change: Callable[[list[Tensor]], list[Tensor]]) -> Problem:
    """Return the problem with other gradients."""
    return Problem("changed", FEW.starts, lambda step, point: change(FEW.gradient(step, point)))


def centralized(gradients: list[Tensor]) -> list[Tensor]:
    """Cut off what is above 0.3, and take the mean out of each row of a matrix."""
    cut = [g.clamp(-0.3, 0.3) for g in gradients]
    return [g - g.mean(dim=1, keepdim=True) if g.ndim > 1 else g for g in cut]


def shortened(gradients: list[Tensor]) -> list[Tensor]:
    """Scale all gradients together to a norm of at most 2."""
    length = torch.cat([g.flatten() for g in gradients]).norm()
    return [g * min(1.0, 2.0 / float(length)) for g in gradients]


BEFORE: dict[str, tuple[Any, Callable[[list[Tensor]], list[Tensor]]]] = {
    "cut": ([rules.clip_by_value(max_value=0.3), rules.centralize()], centralized),
    "shortened": (rules.clip_by_global_norm(max_norm=2.0), shortened),
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", BEFORE)
@each_engine
@each_optimizer
def test_before_is_another_gradient(case: Case, engine: str, name: str) -> None:
    links, change = BEFORE[name]
    actual = path(case, engine, before=links)
    expected = path(case, engine, transformed(change))
    assert_same_path(actual, expected, FEW.starts, EXACT)
    if name == "cut":  # signs alone do not see the other
        pairs = zip(path(case, engine)[-1], actual[-1], strict=True)
        assert any((a - b).abs().max() > 1e-9 for a, b in pairs)


@each_engine
@each_optimizer
def test_looking_ahead_moves_the_parameters_alone(case: Case, engine: str) -> None:
    """The same by hand: every third step half of the way back, the states as they are."""
    actual = path(case, engine, after=rules.lookahead(every=3, alpha=0.5))
    parameters = FEW.parameters()
    optimizer = case.ours(parameters, engine=engine)
    slow = snapshot(parameters)
    expected = []
    for step in range(STEPS):
        (point,) = follow(FEW, parameters, optimizer, steps=1, start=step)
        if step % 3 == 2:
            slow = [a + 0.5 * (x - a) for a, x in zip(slow, point, strict=True)]
            for p, a in zip(parameters, slow, strict=True):
                p.data.copy_(a)
        expected.append(snapshot(parameters))
    assert_same_path(actual, expected, FEW.starts, EXACT)


@each_engine
@each_optimizer
def test_an_average_changes_no_step(case: Case, engine: str) -> None:
    """Bit for bit the same path; the average is that of its points."""
    plain = path(case, engine)
    parameters = FEW.parameters()
    optimizer = case.ours(parameters, engine=engine, after=rules.polyak(start=2))
    averaged = follow(FEW, parameters, optimizer, steps=STEPS)
    for a, b in zip(plain, averaged, strict=True):
        same(a, b, because="each operation is rounded by itself, whatever stands around it")
    with optimizer.evaluating():
        for p, *points in zip(parameters, *plain[2:], strict=True):
            mean = torch.stack(points).mean(dim=0)
            torch.testing.assert_close(p.detach(), mean, rtol=EXACT, atol=EXACT)


def multiplies_by_lr(optimizer: Optimizer) -> bool:
    """Whether the update is multiplied by the learning rate already, so that no rule may follow."""
    (group,) = optimizer.param_groups
    return any(place.rule.kind.lr_inside for place in optimizer.composition(group).chain.places)


@each_engine
@each([case.without("weight_decay") for case in RICHEST])
def test_after_acts_on_the_update(case: Case, engine: str) -> None:
    """A normalized update is a step of length lr; where lr is inside the update, it is refused."""
    quiet = {"weight_decay": 0.0, "temperature": 0.0}
    case = case.having(lr=0.01, **{k: v for k, v in quiet.items() if k in case.parameters})
    parameters = FEW.parameters()
    make = functools.partial(case.ours, parameters, engine=engine)
    if multiplies_by_lr(make()):
        with pytest.raises(
            RuleError, match=r"multiplies its update by the learning rate.*normalize"
        ):
            follow(FEW, parameters, make(after=rules.normalize()), steps=1)
        return
    before = FEW.starts
    points = follow(FEW, parameters, make(after=rules.normalize()), steps=STEPS)
    for t, point in enumerate(points, 1):
        length = 0.0 if case.optimizer == "ADOPT" and t == 1 else 0.01  # a step that only looks
        for p, q in zip(point, before, strict=True):
            assert (p - q).norm() == pytest.approx(length, rel=1e-8)
        before = point


@each_engine
def test_the_order_around_an_optimizer(engine: str) -> None:
    """Sign, `before`, L2, own rules, `after`, step, decay after the step, averages: on one number."""
    p = Parameter(torch.tensor([2.0], dtype=torch.float64))
    p.grad = torch.tensor([-6.0], dtype=torch.float64)
    sgd = functools.partial(optim.SGD, [p], lr=0.1, weight_decay=0.5, maximize=True, engine=engine)
    clips = {
        "before": rules.clip_by_value(max_value=4.0),
        "after": [rules.clip_by_value(max_value=4.5), rules.lookahead(every=1, alpha=0.5)],
    }
    sgd(**clips).step()  # 6 → 4 → 4 + 0.5·2 = 5 → 4.5: to 2 − 0.45, and half of the way back
    assert p.item() == pytest.approx(2.0 - 0.5 * 0.45)
    p.data.fill_(2.0)
    sgd(**clips, decay="decoupled").step()  # 6 → 4: to 2 − 0.4 − 0.1·0.5·2
    assert p.item() == pytest.approx(2.0 - 0.5 * (0.4 + 0.1))


@each_engine
def test_cautious_sees_the_gradient_that_came_in(engine: str) -> None:
    """The mask compares with the gradient whose sign `maximize` has turned, before any clip."""
    start = torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    p = Parameter(start.clone())
    cautious = {"after": rules.cautious(), "before": rules.clip_by_value(max_value=1.0)}
    optimizer = optim.SGD([p], lr=0.1, momentum=0.5, maximize=True, engine=engine, **cautious)
    p.grad = -torch.tensor([1.0, 2.0, -1.0, 4.0], dtype=torch.float64)
    optimizer.step()  # all agree: 4/(4 + 1) of the clipped gradient
    first = start - 0.1 * 0.8 * torch.tensor([1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(p.detach(), first, rtol=1e-14, atol=0.0)
    p.grad = -torch.tensor([1.0, -0.1, -1.0, -0.1], dtype=torch.float64)
    optimizer.step()  # in two places the momentum 0.5 − 0.1 goes on against the gradient
    second = first - 0.1 * 4.0 / 3.0 * torch.tensor([1.5, 0.0, -1.5, 0.0], dtype=torch.float64)
    torch.testing.assert_close(p.detach(), second, rtol=1e-14, atol=0.0)


# -- their hyperparameters in groups ------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize("name", ["Lion", "Adam"])
def test_their_hyperparameters_are_entries_of_groups(name: str, engine: str) -> None:
    """They differ between groups, change by hand, and stand beside the optimizer's own."""
    case = Case(name, {"lr": 0.01})

    def clipped(limits: list[float]) -> Path:
        """Clip the gradients beforehand, by one limit until step 3 and another from there."""
        parameters = FEW.parameters()
        optimizer = case.ours(parameters, engine=engine)

        def gradient(step: int, point: Any) -> list[Tensor]:
            c = limits[step >= 3]
            return [g.clamp(-c, c) for g in FEW.gradient(step, point)]

        problem = Problem("clipped", FEW.starts, gradient)
        return follow(problem, parameters, optimizer, steps=STEPS)

    parameters = FEW.parameters()
    groups = [
        {"params": parameters[:2]},
        {"params": parameters[2:], "clip_by_value.max_value": 0.5},
    ]
    clip = rules.clip_by_value(max_value=1.0)
    optimizer = case.ours(groups, engine=engine, before=clip)
    assert [g["clip_by_value.max_value"] for g in optimizer.param_groups] == [1.0, 0.5]

    def change(step: int) -> None:
        if step == 3:
            optimizer.param_groups[0]["clip_by_value.max_value"] = 0.1

    actual = follow(FEW, parameters, optimizer, steps=STEPS, before_step=change)
    first, second = clipped([1.0, 0.1]), clipped([0.5, 0.5])
    expected = [a[:2] + b[2:] for a, b in zip(first, second, strict=True)]
    assert_same_path(actual, expected, FEW.starts, EXACT)


@each_engine
def test_a_rule_twice(engine: str) -> None:
    """The second of the same rule has a number; before and after are counted together."""
    p = Parameter(torch.zeros(1, dtype=torch.float64))
    p.grad = torch.full((1,), 8.0, dtype=torch.float64)
    clip = rules.clip_by_value
    optimizer = optim.SGD(
        [p], lr=1.0, before=[clip(max_value=4.0)], after=clip(max_value=3.0), engine=engine
    )
    (group,) = optimizer.param_groups
    assert group["clip_by_value.max_value"] == 4.0
    assert group["clip_by_value2.max_value"] == 3.0
    optimizer.step()
    assert p.item() == -3.0
    group["clip_by_value2.max_value"] = 5.0
    optimizer.step()
    assert p.item() == -7.0


def test_switches_of_links_are_entries_too() -> None:
    """`scope` chooses between two programs, in each group."""
    parameters = [Parameter(torch.zeros(2)), Parameter(torch.zeros(2))]
    for p, g in zip(parameters, ([3.0, 0.0], [0.0, 4.0]), strict=True):
        p.grad = torch.tensor(g)
    optimizer = optim.SGD(parameters, lr=1.0, before=rules.normalize())
    optimizer.step()
    torch.testing.assert_close(torch.stack([p.detach() for p in parameters]), -torch.eye(2))
    optimizer.param_groups[0]["normalize.scope"] = "all"
    optimizer.step()
    expected = -torch.tensor([[1.6, 0.0], [0.0, 1.8]])
    torch.testing.assert_close(torch.stack([p.detach() for p in parameters]), expected)


# -- mistakes -----------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no rule": ({"before": 3}, "not a rule"),
    "a function": ({"before": lambda g: g}, "Decorate it with @rule"),
    "an optimizer": ({"after": optim.Adam}, "optimizer of its own"),
    "an average before": ({"before": rules.ema()}, "acts after the step"),
}


@pytest.mark.parametrize("mistake", WRONG)
@pytest.mark.parametrize("name", ["SGD", "Lion"])
def test_what_cannot_stand_there(name: str, mistake: str) -> None:
    options, message = WRONG[mistake]
    p = Parameter(torch.zeros(1))
    p.grad = torch.ones(1)
    with pytest.raises(RuleError, match=message):
        getattr(optim, name)([p], lr=0.1, **options).step()
    assert p.item() == 0.0


def test_a_point_of_evaluation_is_said_to_be_missing() -> None:
    optimizer = optim.Lion([Parameter(torch.zeros(1))], after=rules.lookahead())
    with (
        pytest.raises(EngineError, match=r"lookahead.*keeps no average.*after=ema"),
        optimizer.evaluating(),
    ):
        pass
