"""The code of an entrant is run here, and must build the very optimizer that raced."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import RERUN, same
from thalweg import chain, optim, rule, rules, schedules
from thalweg.race import Entrant, Point, find_entrant, known_entrants
from thalweg.race.trials.as_code import code_of

STEPS = 40


def run(code: str, **names: Any) -> tuple[Any, nn.Module]:
    """What the code builds, and for which model."""
    torch.manual_seed(0)
    space: dict[str, Any] = {"model": nn.Linear(2, 3), **names}
    exec(code, space)  # this is what a user does with it
    return space["optimizer"], space["model"]


def trajectory(optimizer: Any, model: nn.Module) -> list[torch.Tensor]:
    points = []
    for k in range(5):
        optimizer.zero_grad()
        (model(torch.tensor([[1.0, -2.0 + k]])) ** 2).sum().backward()
        optimizer.step()
        points.append(model.weight.detach().clone())  # type: ignore[operator, union-attr]
    return points


def check(entrant: Entrant, point: Point, **names: Any) -> str:
    """Compare the optimizer that the code builds with the one that races, step by step."""
    code = code_of(entrant, point, STEPS)
    by_code, model = run(code, **names)
    torch.manual_seed(0)
    twin = nn.Linear(2, 3)
    raced = entrant.build(twin.parameters(), lr=entrant.rate(point.lr, STEPS), **dict(point.others))
    assert type(by_code) is type(raced)
    assert len(by_code.param_groups) == len(raced.param_groups)
    for ours, theirs in zip(trajectory(by_code, model), trajectory(raced, twin), strict=True):
        same(ours, theirs, because=RERUN)
    assert {k: v for k, v in by_code.param_groups[0].items() if k != "params"} == {
        k: v for k, v in raced.param_groups[0].items() if k != "params"
    }
    return code


@pytest.mark.parametrize("name", sorted(known_entrants()))
def test_every_known_entrant(name: str) -> None:
    entrant = find_entrant(name)
    code = code_of(entrant, Point(0.0316), STEPS)
    optimizer, _ = run(code)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert type(optimizer) is entrant.factory
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0316)
    for key, value in entrant.hyperparameters.items():
        assert optimizer.param_groups[0][key] == value


CHAIN = chain(rules.clip_by_norm(0.5), rules.adam(beta1=0.5), rules.decay(0.1))


@pytest.mark.parametrize(
    ("entrant", "point"),
    [
        (find_entrant("momentum"), Point(0.1)),
        (find_entrant("sgd"), Point(0.1, (("momentum", 0.7), ("nesterov", True)))),
        (find_entrant("adam"), Point(1e-3, (("betas", (0.8, 0.99)), ("weight_decay", 0.01)))),
        (find_entrant("adam+cosine"), Point(0.1)),
        (find_entrant("lion+warmup-wsd"), Point(0.1)),
        (Entrant("a", torch.optim.SGD, {"momentum": 0.9}), Point(0.3)),
        (Entrant("a", torch.optim.AdamW, {"betas": (0.5, 0.9)}), Point(0.3)),
        (Entrant("a", optim.SGD, {"after": rules.polyak(start=2)}), Point(0.3)),
        (Entrant("a", optim.Adam, {"weight_decay": schedules.linear(0.1, 0.0, 9)}), Point(0.3)),
        (Entrant("a", rules.adam), Point(0.3)),
        (Entrant("a", rules.adam(beta1=0.5), {"beta2": 0.9}), Point(0.3)),
        (Entrant("a", CHAIN), Point(0.3)),
        (Entrant("a", CHAIN, {"beta2": 0.9}, schedule="cosine"), Point(0.3, (("max_norm", 0.1),))),
        (Entrant("a", functools.partial(torch.optim.SGD, momentum=0.9)), Point(0.3)),
        (Entrant("a", rules.clip_by_norm(1.0), {"max_norm": math.inf}), Point(0.1)),
        (
            Entrant("a", optim.SGD, schedule=lambda lr, n: schedules.one_cycle(lr, steps=n)),
            Point(0.3),
        ),
    ],
)
def test_the_code_builds_what_raced(entrant: Entrant, point: Point) -> None:
    assert "your own" not in check(entrant, point)


def own_optimizer(params: Any, lr: float, heat: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr * heat)


@rule
def own_rule(g: Any, *, scale: float = 2.0) -> Any:
    """Steps by twice the gradient."""
    return scale * g


def test_what_is_the_users_own_is_named_and_said() -> None:
    code = check(
        Entrant("a", own_optimizer), Point(0.1, (("heat", 0.5),)), own_optimizer=own_optimizer
    )
    assert "# own_optimizer is a function of your own." in code
    mixed = chain(rules.clip_by_norm(0.5), own_rule(scale=0.5))
    code = check(Entrant("a", mixed), Point(0.1), own_rule=own_rule)
    assert "# own_rule is a rule of your own." in code
    code = check(Entrant("a", own_rule, {"scale": 3.0}), Point(0.1), own_rule=own_rule)
    assert code.count("of your own") == 1


def test_functions_without_a_name_get_one() -> None:
    def make(params: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr)

    anonymous = Entrant("a", lambda params, lr: make(params, lr))
    code = check(anonymous, Point(0.1), make_optimizer=make)
    assert "# make_optimizer is a function of your own." in code
    falling = Entrant("a", optim.SGD, schedule=lambda lr, steps: lambda k: lr / (k + 1))
    code = check(falling, Point(0.1), lr=lambda k: 0.1 / (k + 1))
    assert "# lr is a value of your own." in code


def test_the_initialization_is_said() -> None:
    entrant = Entrant("a", torch.optim.SGD, initialization="orthogonal")
    assert "thalweg.init's strategy orthogonal." in check(entrant, Point(0.1))


def test_without_a_number_of_steps_the_rate_stands_for_itself() -> None:
    code = code_of(find_entrant("sgd+cosine"), Point(0.1), None)
    assert run(code)[0].param_groups[0]["lr"] == 0.1
