"""Scheduled hyperparameters in later groups, copies, checkpoints, beside torch's schedulers; mistakes."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer, lr_scheduler

from tests.exact import same
from thalweg import optim, rules, schedules
from thalweg.engine import chain

from .cases import each_engine
from .problem import follow, snapshot
from .scheduling import COSINE, PROBLEM, STEPS, Group, assert_same, falling, walk, wave

# -- groups that come later, copies, checkpoints ------------------------------------------------------


@each_engine
@pytest.mark.parametrize("name", ["Adam", "Lion"])
def test_a_group_added_later_begins_its_schedule(name: str, engine: str) -> None:
    """Each group counts its own steps; a schedule of the optimizer is one for it too."""
    parameters = PROBLEM.parameters()
    optimizer = getattr(optim, name)(parameters[:2], lr=COSINE, engine=engine)
    actual = follow(PROBLEM, parameters, optimizer, steps=4)
    optimizer.add_param_group({"params": parameters[2:3]})
    optimizer.add_param_group({"params": parameters[3:], "lr": wave})
    actual += follow(PROBLEM, parameters, optimizer, steps=7, start=4)
    assert [g["scheduled_step"] for g in optimizer.param_groups] == [11, 7, 7]

    copies = PROBLEM.parameters()
    plain = getattr(optim, name)(copies[:2], engine=engine)
    expected = []
    for step in range(11):
        if step == 4:
            plain.add_param_group({"params": copies[2:3]})
            plain.add_param_group({"params": copies[3:]})
        for group, lr in zip(
            plain.param_groups,
            (COSINE(step), COSINE(step - 4), wave(step - 4)) if step >= 4 else (COSINE(step),),
            strict=True,
        ):
            group["lr"] = lr
        expected += follow(PROBLEM, copies, plain, steps=1, start=step)
    assert_same(actual, expected)


def test_a_group_given_to_add_is_not_changed() -> None:
    optimizer = optim.Lion([Parameter(torch.zeros(1))], lr=0.1)
    group = {"params": [Parameter(torch.zeros(1))], "lr": wave}
    optimizer.add_param_group(group)
    assert group["lr"] is wave
    assert optimizer.param_groups[1]["lr"] == wave(0)


MAKERS: dict[str, Callable[..., Optimizer]] = {
    "Adam": lambda p, e: optim.Adam(
        p, lr=COSINE, betas=(schedules.linear(0.9, 0.5, 10), 0.9), engine=e
    ),
    "Lion": lambda p, e: optim.Lion(
        p, lr=COSINE, before=rules.clip_by_value(max_value=schedules.linear(0.1, 2.0, 10)), engine=e
    ),
    "a chain": lambda p, e: optim.Optimizer(
        p, chain(rules.momentum(schedules.linear(0.9, 0.1, 10))), lr=COSINE, engine=e
    ),
}


@pytest.mark.parametrize("name", MAKERS)
@each_engine
def test_a_resumed_schedule_goes_on(name: str, engine: str, tmp_path: Path) -> None:
    """The counter is in the state dict, and no function: it loads with weights_only."""
    whole = walk(lambda p: MAKERS[name](p, engine))
    parameters = PROBLEM.parameters()
    optimizer = MAKERS[name](parameters, engine)
    first = follow(PROBLEM, parameters, optimizer, steps=4)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert saved["param_groups"][0]["scheduled_step"] == 4
    copies = [Parameter(p.detach().clone()) for p in parameters]
    resumed = MAKERS[name](copies, engine)
    resumed.load_state_dict(saved)
    assert resumed.param_groups[0]["lr"] == COSINE(3)
    second = follow(PROBLEM, copies, resumed, steps=STEPS - 4, start=4)
    assert_same(first + second, whole)


@each_engine
def test_a_checkpoint_without_a_counter_begins_the_schedule(engine: str) -> None:
    """PyTorch's own, or one from before the schedule: its step counts are those of the rule."""
    parameters = PROBLEM.parameters()
    theirs = torch.optim.Adam(parameters, lr=0.01)
    follow(PROBLEM, parameters, theirs, steps=3)
    copies = [Parameter(p.detach().clone()) for p in parameters]
    ours = optim.Adam(copies, lr=COSINE, engine=engine)
    ours.load_state_dict(theirs.state_dict())
    follow(PROBLEM, copies, ours, steps=2, start=3)
    (group,) = ours.param_groups
    assert group["scheduled_step"] == 2
    assert group["lr"] == COSINE(1)
    assert ours.state[copies[0]]["step"] == 5


@pytest.mark.parametrize("way", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize("name", MAKERS)
@each_engine
def test_copies_have_the_schedules(name: str, engine: str, way: Callable[[Any], Any]) -> None:
    parameters = PROBLEM.parameters()
    optimizer = MAKERS[name](parameters, engine)
    follow(PROBLEM, parameters, optimizer, steps=3)
    twin = way(optimizer)
    copies = [p for group in twin.param_groups for p in group["params"]]
    actual = follow(PROBLEM, copies, twin, steps=5, start=3)
    assert optimizer.param_groups[0]["scheduled_step"] == 3
    assert_same(actual, follow(PROBLEM, parameters, optimizer, steps=5, start=3))
    twin.add_param_group({"params": [Parameter(torch.zeros(1))]})
    assert twin.param_groups[-1]["lr"] == COSINE(0)


# -- torch's schedulers -------------------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize("name", ["Adam", "Lion"])
def test_a_torch_scheduler_drives_what_is_a_number(name: str, engine: str) -> None:
    """Beside a scheduled β₁ the learning rate is the scheduler's."""
    make = functools.partial(getattr(optim, name), engine=engine, lr=0.01)
    parameters = PROBLEM.parameters()
    optimizer = make(parameters, betas=(falling, 0.95))
    scheduler = lr_scheduler.ExponentialLR(optimizer, gamma=0.8)
    actual = []
    for step in range(STEPS):
        actual += follow(PROBLEM, parameters, optimizer, steps=1, start=step)
        scheduler.step()

    def by_hand(groups: list[Group], k: int) -> None:
        groups[0].update(lr=0.01 if k == 0 else groups[0]["lr"] * 0.8, betas=(falling(k), 0.95))

    assert_same(actual, walk(make, by_hand))


@each_engine
def test_a_scheduled_rate_is_not_a_torch_schedulers(engine: str) -> None:
    """Two that set one number: the first step at which they differ says so."""
    parameters = PROBLEM.parameters()
    optimizer = optim.Adam(parameters, lr=COSINE, engine=engine)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
    (point,) = follow(PROBLEM, parameters, optimizer, steps=1)
    scheduler.step()
    with pytest.raises(ValueError, match="lr is a schedule of this optimizer"):
        optimizer.step()
    same(snapshot(parameters), point, because="nothing wrote to it")


@each_engine
@pytest.mark.parametrize("name", ["AdamW", "Adan", "SGD"])
def test_a_schedule_and_its_scheduler_are_one(name: str, engine: str) -> None:
    """`lr=schedule` and `schedules.scheduler(optimizer, schedule)` step alike."""
    parameters = PROBLEM.parameters()
    optimizer = getattr(optim, name)(parameters, lr=1.0, engine=engine)
    scheduler = schedules.scheduler(optimizer, COSINE)
    actual = []
    for step in range(STEPS):
        actual += follow(PROBLEM, parameters, optimizer, steps=1, start=step)
        scheduler.step()
    assert_same(actual, walk(lambda p: getattr(optim, name)(p, lr=COSINE, engine=engine)))


# -- mistakes -----------------------------------------------------------------------------------------

NO_NUMBERS = {"text": "0.1", "nothing": None, "a bool": True, "a list": [0.1]}


@pytest.mark.parametrize("kind", NO_NUMBERS)
@pytest.mark.parametrize("name", ["Adam", "Lion", "a chain"])
def test_a_schedule_that_returns_no_number(name: str, kind: str) -> None:
    """When the optimizer is made, or at the step where it does; then nothing moves."""
    wrong = NO_NUMBERS[kind]
    p = Parameter(torch.ones(2))
    p.grad = torch.ones(2)

    def made(lr: Any) -> Optimizer:
        return (
            optim.Optimizer([p], rules.adam, lr=lr)
            if name == "a chain"
            else getattr(optim, name)([p], lr=lr)
        )

    with pytest.raises(
        TypeError, match=r"The schedule of lr returned .* after 0 steps, not a number"
    ):
        made(lambda k: wrong)
    optimizer = made(lambda k: 0.1 if k < 2 else wrong)
    optimizer.step()
    optimizer.step()
    here = snapshot([p])
    with pytest.raises(TypeError, match=f"lr returned {wrong!r} after 2 steps".replace("[", r"\[")):
        optimizer.step()
    same(p.double(), here[0], because="nothing wrote to it")
    assert optimizer.state[p]["step"] == 2


def test_a_first_value_that_is_refused_as_a_number_is() -> None:
    p = [Parameter(torch.ones(2))]
    with pytest.raises(ValueError, match=r"Invalid learning rate: -1.0"):
        optim.Lion(p, lr=lambda k: -1.0)
    with pytest.raises(ValueError, match=r"Invalid learning rate: -1.0"):
        optim.Adam(p, lr=lambda k: -1.0)
    with pytest.raises(ValueError, match=r"Invalid beta parameter at index 1: 1.5"):
        optim.Adam(p, betas=(0.9, lambda k: 1.5))
    with pytest.raises(TypeError, match="The schedule of maximize"):
        optim.Lion(p, maximize=lambda k: True)


def test_an_error_of_a_schedule_is_its_own() -> None:
    p = Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    optimizer = optim.Lion([p], lr=lambda k: [0.1, 0.2][k])
    optimizer.step()
    optimizer.step()
    with pytest.raises(IndexError):
        optimizer.step()
    assert optimizer.state[p]["step"] == 2


@each_engine
def test_a_model_trains_by_a_schedule_alone(engine: str) -> None:
    """With a closure, accumulation of gradients and zero_grad, as any optimizer."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1).double()
    x = torch.randn(20, 3, dtype=torch.float64)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    optimizer = optim.Adan(model, lr=schedules.cosine(0.1, steps=300), engine=engine)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(300)]
    assert losses[-1] < 1e-3 * losses[0]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(schedules.cosine(0.1, steps=300)(299))
