"""One entrant: its optimizer, fixed and searched hyperparameters, schedule and initialization."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import RERUN, differs, same
from tests.race.tasks import line
from thalweg import chain, optim, rule, rules, schedules
from thalweg.errors import RuleError, TaskError
from thalweg.optim import Optimizer
from thalweg.race import Entrant
from thalweg.race.entrants.space import choice, uniform
from thalweg.schedules.named import schedule_names

STEPS = 100


def sgd(schedule: Any) -> Entrant:
    return Entrant("sgd", optim.SGD, schedule=schedule)


def parameters() -> list[torch.Tensor]:
    return [torch.ones(2, requires_grad=True)]


@pytest.mark.parametrize("schedule", [None, "constant"])
def test_a_constant_rate_is_a_number(schedule: str | None) -> None:
    assert sgd(schedule).rate(0.5, STEPS) == 0.5
    assert sgd(schedule).rate(0.5, None) == 0.5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cosine", lambda k: 0.25 * (1 + math.cos(math.pi * k / STEPS))),
        ("linear", lambda k: 0.5 * (1 - k / STEPS)),
        ("wsd", lambda k: 0.5 * min(1, (STEPS - k) / 20)),
    ],
)
def test_a_schedule_falls_to_zero_at_the_trials_end(name: str, expected: Any) -> None:
    rate = sgd(name).rate(0.5, STEPS)
    assert [rate(k) for k in range(STEPS + 1)] == pytest.approx(
        [expected(k) for k in range(STEPS + 1)], abs=1e-15
    )


@pytest.mark.parametrize("name", ["", "cosine", "linear", "wsd"])
def test_a_warm_up_takes_the_first_twentieth_and_the_rest_goes_on_after_it(name: str) -> None:
    rate = sgd(f"warmup-{name}" if name else "warmup").rate(0.5, STEPS)
    rest = sgd(name or "constant").rate(0.5, STEPS - 5)
    assert [rate(k) for k in range(5)] == pytest.approx([0.5 * (k + 1) / 6 for k in range(5)])
    after = [rest(k - 5) if callable(rest) else rest for k in range(5, STEPS + 1)]
    assert [rate(k) for k in range(5, STEPS + 1)] == pytest.approx(after, abs=1e-15)


@pytest.mark.parametrize("name", schedule_names())
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_every_schedule_fits_the_shortest_trials(name: str, steps: int) -> None:
    rate = sgd(name).rate(0.5, steps)
    values = [rate(k) if callable(rate) else rate for k in range(steps)]
    assert all(0 < value <= 0.5 for value in values)


def test_a_schedule_may_be_a_function() -> None:
    rate = sgd(lambda lr, steps: schedules.linear(lr, lr / 2, steps)).rate(0.4, 10)
    assert (rate(0), rate(10)) == (0.4, 0.2)


@pytest.mark.parametrize(("name", "close"), [("cosin", "'cosine'"), ("zzz", "Known are: constant")])
def test_an_unknown_schedule_is_refused_when_it_is_given(name: str, close: str) -> None:
    with pytest.raises(TaskError, match=f"No schedule is called '{name}'.*{close}"):
        sgd(name)


def test_a_schedule_needs_the_length_of_a_trial() -> None:
    with pytest.raises(TaskError, match="does not say how many rows"):
        sgd("cosine").rate(0.1, None)


def test_an_optimizer_gets_what_is_fixed_and_what_is_searched() -> None:
    entrant = Entrant("sgd", optim.SGD, {"nesterov": True}, search={"momentum": uniform(0.5, 0.9)})
    (group,) = entrant.build(parameters(), lr=0.1, momentum=0.7).param_groups
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.1, 0.7, True)


@pytest.mark.parametrize("name", ["momentum", "lr"])
def test_what_is_fixed_is_not_searched(name: str) -> None:
    why = "by lrs" if name == "lr" else "it is fixed"
    with pytest.raises(TaskError, match=f"'sgd' searches '{name}', but .*{why}"):
        Entrant("sgd", optim.SGD, {"momentum": 0.9}, search={name: choice(1, 2)})


CLIPPED = chain(rules.clip_by_norm(1.0), rules.adam)


def stepped(optimizer: torch.optim.Optimizer, p: torch.Tensor, steps: int = 3) -> torch.Tensor:
    for _ in range(steps):
        optimizer.zero_grad()
        ((p - 1.4) ** 2).sum().backward()
        optimizer.step()
    return p.detach().clone()


def test_a_chain_is_an_entrant_with_hyperparameters_of_its_own() -> None:
    entrant = Entrant("clipped", CLIPPED, {"beta1": 0.5}, search={"beta2": uniform(0.9, 0.99)})
    (a,), (b,), (c,) = parameters(), parameters(), parameters()
    by_entrant = stepped(entrant.build([a], lr=0.1, beta2=0.95), a)
    by_hand = chain(rules.clip_by_norm(1.0), rules.adam(beta1=0.5, beta2=0.95))
    same(by_entrant, stepped(Optimizer([b], by_hand, lr=0.1), b), because=RERUN)
    differs(by_entrant, stepped(Optimizer([c], CLIPPED, lr=0.1), c))


@pytest.mark.parametrize("rules_", [rules.adam, rules.adam(beta1=0.5), CLIPPED])
def test_a_rule_a_link_and_a_chain_are_entrants_for_groups_too(rules_: Any) -> None:
    groups = [{"params": parameters()}, {"params": parameters(), "lr": 0.2}]
    optimizer = Entrant("mine", rules_, {"beta2": 0.9}).build(groups, lr=0.1)
    assert [(g["lr"], g["beta2"]) for g in optimizer.param_groups] == [(0.1, 0.9), (0.2, 0.9)]
    assert "beta2" not in groups[0]


def test_a_chain_says_which_hyperparameters_it_has() -> None:
    with pytest.raises((RuleError, TypeError, ValueError), match="beta1"):
        Entrant("clipped", CLIPPED, {"beta": 0.5}).build(parameters(), lr=0.1)


def test_an_entrant_keeps_the_tasks_own_weights_or_draws_its_own() -> None:
    task = line(model=lambda: nn.Linear(1, 4), target=None)
    assert Entrant("plain", optim.SGD).task(task) is task
    torch.manual_seed(0)
    own = Entrant("ones", optim.SGD, initialization="ones").task(task).build()
    same(own.weight, torch.ones(4, 1), because="filled with ones")
    torch.manual_seed(0)
    same(own.bias, task.build().bias, because=RERUN)


def test_an_unknown_initialization_is_refused_when_it_is_given() -> None:
    with pytest.raises(TaskError, match=r"No initialization is called 'ortogonal'.*'orthogonal'"):
        Entrant("sgd", optim.SGD, initialization="ortogonal")


def test_an_initialization_by_both_of_its_names_is_refused() -> None:
    with pytest.raises(TaskError, match=r"init='he' and initialization='ones'.*give one of them"):
        Entrant("sgd", optim.SGD, init="he", initialization="ones")


@rule
def mine(g: Any, *, scale: float = 2.0) -> Any:
    """Steps by twice the gradient. And more."""
    return scale * g


@pytest.mark.parametrize(
    ("entrant", "expected"),
    [
        (
            Entrant("momentum", optim.SGD, {"momentum": 0.9}),
            "Stochastic gradient descent with heavy-ball momentum (momentum=0.9)",
        ),
        (
            Entrant("a", mine, {"scale": 3}, schedule="cosine", initialization="orthogonal"),
            "Steps by twice the gradient (scale=3, schedule cosine, initialization orthogonal)",
        ),
        (Entrant("b", lambda params, lr: None, schedule=lambda lr, steps: None), ""),
    ],
)
def test_description(entrant: Entrant, expected: str) -> None:
    assert entrant.description == expected


def test_a_chain_is_described_by_its_rules() -> None:
    assert "clip_by_norm" in Entrant("c", CLIPPED).description
