"""Each schedule against PyTorch's scheduler of that kind, step by step over the whole range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from thalweg.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    join,
    linear,
    one_cycle,
    piecewise,
    polynomial,
    warm_restarts,
    warmup,
)

PEAK = 0.3
Make = Callable[[torch.optim.Optimizer], Any]


def torch_rates(make: Make, steps: int, peak: float = PEAK) -> list[float]:
    """The learning rates of steps 1 … steps + 1 as PyTorch's scheduler sets them."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    scheduler = make(optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def check(schedule: Schedule, make: Make, steps: int, rel: float = 1e-12) -> None:
    expected = torch_rates(make, steps)
    assert len(set(expected)) > 1 or isinstance(schedule, constant)
    assert [schedule(k) for k in range(steps + 1)] == pytest.approx(expected, rel=rel, abs=1e-300)


def test_constant() -> None:
    check(constant(PEAK), lambda o: lr_scheduler.ConstantLR(o, factor=1.0), 20)


@pytest.mark.parametrize(("start", "end", "steps"), [(1.0, 0.01, 97), (0.25, 1.0, 40), (0.5, 0, 1)])
def test_linear_and_after_its_end(start: float, end: float, steps: int) -> None:
    check(
        linear(start * PEAK, end * PEAK, steps),
        lambda o: lr_scheduler.LinearLR(o, start, end, steps),
        steps + 20,
    )


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.7])
def test_polynomial_and_after_its_end(power: float) -> None:
    check(
        polynomial(PEAK, steps=97, power=power),
        lambda o: lr_scheduler.PolynomialLR(o, total_iters=97, power=power),
        120,
    )


@pytest.mark.parametrize("rate", [0.9, 0.999, 1.1])
def test_exponential(rate: float) -> None:
    check(exponential(PEAK, rate=rate), lambda o: lr_scheduler.ExponentialLR(o, rate), 300)


def test_exponential_with_staircase_is_step_lr() -> None:
    check(
        exponential(PEAK, rate=0.3, every=7, staircase=True),
        lambda o: lr_scheduler.StepLR(o, 7, gamma=0.3),
        100,
    )


def test_piecewise_is_multi_step_lr() -> None:
    check(
        piecewise([5, 8, 30], [PEAK, PEAK / 2, PEAK / 4, PEAK / 8]),
        lambda o: lr_scheduler.MultiStepLR(o, [5, 8, 30], gamma=0.5),
        50,
    )


@pytest.mark.parametrize(("steps", "floor"), [(1, 0.0), (97, 0.0), (100, 0.01), (64, 0.5)])
def test_cosine(steps: int, floor: float) -> None:
    class ClosedForm(lr_scheduler.CosineAnnealingLR):
        # step() multiplies the last rate, and near the end, where a small rate is the difference of large
        # numbers, that error alone is above 1e-12; this is PyTorch's own closed form of the same
        def get_lr(self) -> list[Any]:
            return self._get_closed_form_lr()

    schedule = cosine(PEAK, steps=steps, floor=floor)
    check(schedule, lambda o: ClosedForm(o, steps, eta_min=floor), steps)
    recursive = torch_rates(lambda o: lr_scheduler.CosineAnnealingLR(o, steps, floor), steps)
    assert [schedule(k) for k in range(steps + 1)] == pytest.approx(recursive, abs=1e-13)


def test_cosine_with_warmup_is_a_sequence_of_two() -> None:
    warm, steps = 9, 100
    expected = torch_rates(
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, 1 / (warm + 1), 1.0, warm),
                lr_scheduler.CosineAnnealingLR(o, steps - warm, 0.02),
            ],
            [warm],
        ),
        steps,
    )
    whole = cosine(PEAK, steps=steps, floor=0.02, warmup=warm)
    parts = warmup(cosine(PEAK, steps=steps - warm, floor=0.02), warm)
    for schedule in (whole, parts):
        assert [schedule(k) for k in range(steps + 1)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("growth", [1, 2, 3, 5])
@pytest.mark.parametrize(("period", "floor"), [(1, 0.0), (10, 0.02), (7, 0.5)])
def test_warm_restarts(period: int, growth: int, floor: float) -> None:
    steps = 700
    expected = torch_rates(
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, period, growth, floor), steps
    )
    schedule = warm_restarts(PEAK, period=period, growth=growth, floor=floor)
    assert [schedule(k) for k in range(steps + 1)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize(
    ("steps", "fraction", "start", "end"),
    [
        (100, 0.3, 25.0, 1e4),
        (97, 0.25, 10.0, 100.0),
        (50, 0.0, 4.0, 8.0),
        (2, 0.3, 25.0, 1e4),
        (30, 1.0, 25.0, 1e4),
        (7, 0.9, 0.5, 0.1),
        (1, 0.3, 25.0, 1e4),
    ],
)
def test_one_cycle(steps: int, fraction: float, start: float, end: float, anneal: Any) -> None:
    expected = torch_rates(
        lambda o: lr_scheduler.OneCycleLR(
            o,
            PEAK,
            total_steps=steps,
            pct_start=fraction,
            div_factor=start,
            final_div_factor=end,
            anneal_strategy=anneal,
            cycle_momentum=False,
        ),
        steps - 1,
    )
    schedule = one_cycle(
        PEAK,
        steps=steps,
        warmup_fraction=fraction,
        start_factor=start,
        end_factor=end,
        anneal=anneal,
    )
    assert [schedule(k) for k in range(steps)] == pytest.approx(expected, rel=1e-12)


def test_the_defaults_of_one_cycle_are_pytorchs() -> None:
    expected = torch_rates(
        lambda o: lr_scheduler.OneCycleLR(o, PEAK, total_steps=60, cycle_momentum=False), 59
    )
    schedule = one_cycle(PEAK, steps=60)
    assert [schedule(k) for k in range(60)] == pytest.approx(expected, rel=1e-12)


def test_join_is_sequential_lr() -> None:
    expected = torch_rates(
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, 0.1, 1.0, 10),
                lr_scheduler.ExponentialLR(o, 0.9),
                lr_scheduler.PolynomialLR(o, 20, power=2),
            ],
            [10, 30],
        ),
        60,
    )
    schedule = join(
        (linear(0.1 * PEAK, PEAK, 10), 10),
        (exponential(PEAK, rate=0.9), 20),
        polynomial(PEAK, steps=20, power=2),
    )
    assert [schedule(k) for k in range(61)] == pytest.approx(expected, rel=1e-12, abs=1e-300)
