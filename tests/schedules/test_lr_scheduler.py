"""`scheduler`: a schedule as a scheduler of PyTorch."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

from tests.exact import RERUN, RESUMED, same
from thalweg.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    join,
    linear,
    piecewise,
    scheduler,
    warm_restarts,
    warmup,
)

SCHEDULE = warmup(join((linear(1.0, 0.3, 9), 9), warm_restarts(0.7, period=4, growth=2)), 5)


def problem(kind: Any = torch.optim.Adam, **options: Any) -> Any:
    torch.manual_seed(0)
    params = [torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    groups = [{"params": params[:1], "lr": 0.1}, {"params": params[1:], "lr": 0.03}]
    return params, kind(groups, **options)


def train(params: list[Tensor], optimizer: Any, schedule: Any, steps: int) -> list[list[float]]:
    rates = []
    for _ in range(steps):
        optimizer.zero_grad()
        sum((p**4).sum() for p in params).backward()
        optimizer.step()
        rates.append([float(group["lr"]) for group in optimizer.param_groups])
        schedule.step()
    return rates


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.Rprop])
def test_each_group_gets_its_base_rate_times_the_schedule(kind: Any) -> None:
    params, optimizer = problem(kind)
    made = scheduler(optimizer, SCHEDULE)
    assert isinstance(made, lr_scheduler.LRScheduler)
    rates = train(params, optimizer, made, 40)
    assert rates == [[0.1 * SCHEDULE(k), 0.03 * SCHEDULE(k)] for k in range(40)]
    assert made.get_last_lr() == [0.1 * SCHEDULE(40), 0.03 * SCHEDULE(40)]


def test_it_sets_what_lambda_lr_sets() -> None:
    outcomes = []
    for make in (scheduler, lr_scheduler.LambdaLR):
        params, optimizer = problem()
        outcomes.append((train(params, optimizer, make(optimizer, SCHEDULE), 30), params))
    assert outcomes[0][0] == outcomes[1][0]
    same(outcomes[0][1], outcomes[1][1], because=RERUN)


def test_a_rate_that_is_a_tensor_is_changed_in_place() -> None:
    p = torch.zeros(1, requires_grad=True)
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = torch.optim.Adam([p], lr=rate, capturable=False, foreach=False)
    made = scheduler(optimizer, linear(1.0, 0.0, 4))
    p.grad = torch.ones(1)
    for k in range(5):
        assert optimizer.param_groups[0]["lr"] is rate
        assert float(rate) == pytest.approx(0.1 * (1 - k / 4), rel=1e-15)
        optimizer.step()
        made.step()


@pytest.mark.parametrize("stop", [0, 1, 7, 14, 23])
def test_resuming_is_bit_exact_through_a_safe_file(stop: int) -> None:
    params, optimizer = problem()
    made = scheduler(optimizer, SCHEDULE)
    whole = train(params, optimizer, made, 40)

    params_a, optimizer_a = problem()
    made_a = scheduler(optimizer_a, SCHEDULE)
    first = train(params_a, optimizer_a, made_a, stop)
    file = io.BytesIO()
    torch.save([params_a, optimizer_a.state_dict(), made_a.state_dict()], file)
    file.seek(0)
    stored_params, stored_optimizer, stored = torch.load(file, weights_only=True)

    params_b, optimizer_b = problem()
    made_b = scheduler(
        optimizer_b, constant(9.0)
    )  # whatever it was made with, the state has it all
    with torch.no_grad():
        for p, q in zip(params_b, stored_params, strict=True):
            p.copy_(q)
    optimizer_b.load_state_dict(stored_optimizer)
    made_b.load_state_dict(stored)
    second = train(params_b, optimizer_b, made_b, 40 - stop)

    assert first + second == whole
    same(params, params_b, because=RESUMED)
    assert made_b.schedule == SCHEDULE
    assert made_b.state_dict() == made.state_dict()


def test_the_state_is_plain_and_loading_leaves_it_alone() -> None:
    _, optimizer = problem()
    made = scheduler(optimizer, SCHEDULE)
    state = made.state_dict()
    assert json.loads(json.dumps(state)) == state
    before = copy.deepcopy(state)
    made.load_state_dict(state)
    assert state == before
    assert made.schedule == SCHEDULE


def test_a_state_without_a_schedule_is_refused() -> None:
    _, optimizer = problem()
    other = lr_scheduler.ExponentialLR(optimizer, 0.9).state_dict()
    with pytest.raises(
        ValueError, match="holds no schedule, so no `scheduler` wrote it; it has gam"
    ):
        scheduler(optimizer, SCHEDULE).load_state_dict(other)


def test_it_starts_at_any_step() -> None:
    _, optimizer = problem()
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    made = scheduler(optimizer, SCHEDULE, last_epoch=11)
    assert made.get_last_lr() == [0.1 * SCHEDULE(12), 0.03 * SCHEDULE(12)]


def sequence(make: Any, optimizer: Any) -> Any:
    parts = [make(optimizer, s) for s in (linear(0.1, 1.0, 5), cosine(steps=9), constant(0.2))]
    parts.insert(1, lr_scheduler.ExponentialLR(optimizer, 0.9))
    return lr_scheduler.SequentialLR(optimizer, parts, [5, 8, 15])


def chained(make: Any, optimizer: Any) -> Any:
    parts = [make(optimizer, exponential(1.0, rate=0.8)), lr_scheduler.ConstantLR(optimizer, 1.0)]
    return lr_scheduler.ChainedScheduler(parts, optimizer=optimizer)


@pytest.mark.parametrize("combine", [sequence, chained])
def test_it_combines_with_pytorchs_schedulers_as_lambda_lr_does(combine: Any) -> None:
    outcomes = []
    for make in (scheduler, lr_scheduler.LambdaLR):
        params, optimizer = problem()
        outcomes.append(train(params, optimizer, combine(make, optimizer), 25))
    assert outcomes[0] == outcomes[1]
    assert len({rates[0] for rates in outcomes[0]}) > 10


def test_in_a_sequence_each_part_starts_at_its_own_0() -> None:
    params, optimizer = problem()
    rates = train(params, optimizer, sequence(scheduler, optimizer), 25)
    factors = [rate / 0.1 for rate, _ in rates]
    expected = [linear(0.1, 1.0, 5)(k) for k in range(5)] + [1.0, 0.9, 0.81]
    expected += [cosine(steps=9)(k) for k in range(7)] + [0.2] * 10
    assert factors == pytest.approx(expected, rel=1e-12)


def test_a_sequence_resumes_too() -> None:
    params, optimizer = problem()
    whole = train(params, optimizer, sequence(scheduler, optimizer), 25)
    params, optimizer = problem()
    made = sequence(scheduler, optimizer)
    first = train(params, optimizer, made, 10)
    state, rates = made.state_dict(), [group["lr"] for group in optimizer.param_groups]
    params, optimizer = problem()
    made = sequence(scheduler, optimizer)
    made.load_state_dict(state)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    assert first + train(params, optimizer, made, 15) == whole


def test_an_optimizer_and_its_scheduler_can_be_copied_together() -> None:
    params, optimizer = problem()
    made = scheduler(optimizer, piecewise({0: 1.0, 3: 0.5}))
    train(params, optimizer, made, 2)
    optimizer_2, made_2 = copy.deepcopy((optimizer, made))
    assert made_2.optimizer is optimizer_2
    assert made_2.schedule == made.schedule
    optimizer_2.step()
    made_2.step()
    assert optimizer_2.param_groups[0]["lr"] == 0.05
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("wrong", [0.1, lambda k: 1.0, None])
def test_what_is_no_schedule_is_refused(wrong: Any) -> None:
    _, optimizer = problem()
    with pytest.raises(TypeError, match="scheduler: schedule must be a schedule, such as"):
        scheduler(optimizer, wrong)
    with pytest.raises(TypeError, match="not an Optimizer"):
        scheduler(object(), constant(1.0))  # type: ignore[arg-type]


def test_any_schedule_can_be_called_by_pytorch_itself() -> None:
    schedule: Schedule = cosine(steps=10) * 0.5
    params, optimizer = problem()
    rates = train(params, optimizer, lr_scheduler.LambdaLR(optimizer, schedule), 10)
    assert [rate for rate, _ in rates] == [0.1 * schedule(k) for k in range(10)]
