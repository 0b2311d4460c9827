"""Values at the ends, the corners and after the end; whole curves against their equations in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thalweg.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    inverse_sqrt,
    join,
    linear,
    one_cycle,
    piecewise,
    polynomial,
    warm_restarts,
    warmup,
    warmup_stable_decay,
)

FAR = 1e9


def curve(schedule: Schedule, steps: int) -> list[float]:
    return [schedule(k) for k in range(steps)]


def test_linear_is_the_lectures_equation_and_stays_at_its_floor() -> None:
    schedule, tau = linear(0.1, 0.001, 7), 7
    for k in range(tau):
        assert schedule(k) == (1 - k / tau) * 0.1 + (k / tau) * 0.001
    assert schedule(tau) == schedule(tau + 1) == schedule(FAR) == 0.001


@pytest.mark.parametrize(
    ("schedule", "end"),
    [
        (linear(0.3, 0.1, 10), 0.1),
        (cosine(0.3, steps=10, floor=0.1), 0.1),
        (cosine(0.3, steps=10, warmup=4), 0.0),
        (polynomial(0.3, steps=10, power=2, floor=0.1), 0.1),
        (warmup_stable_decay(0.3, steps=10, warmup=2, decay=3, floor=0.1), 0.1),
        (warmup_stable_decay(0.3, steps=10, warmup=2, decay=3, shape="sqrt"), 0.0),
        (warmup_stable_decay(0.3, steps=10, warmup=2, decay=8, floor=0.1, shape="cosine"), 0.1),
    ],
)
def test_from_the_last_step_on_the_value_is_exactly_the_end(schedule: Schedule, end: float) -> None:
    assert schedule(10) == schedule(10.5) == schedule(11) == schedule(FAR) == end
    assert schedule(9.9) != end


@pytest.mark.parametrize(
    "schedule",
    [
        constant(0.3),
        linear(0.3, 0.1, 10),
        cosine(0.3, steps=10, floor=0.1),
        polynomial(0.3, steps=10, power=2, floor=0.1),
        exponential(0.3, rate=0.7),
        piecewise({0: 0.3, 5: 0.1}),
        warm_restarts(0.3, period=10, floor=0.1),
        inverse_sqrt(0.3, warmup=1),
    ],
)
def test_without_a_warmup_the_first_value_is_exactly_the_peak(schedule: Schedule) -> None:
    assert schedule(0) == 0.3


def test_cosine() -> None:
    k = np.arange(0, 51)
    rising = 0.3 * (k + 1) / 11
    falling = 0.1 + 0.2 * (1 + np.cos(np.pi * (k - 10) / 40)) / 2
    schedule = cosine(0.3, steps=50, floor=0.1, warmup=10)
    np.testing.assert_allclose(curve(schedule, 51), np.where(k < 10, rising, falling), rtol=1e-14)
    assert schedule(10) == 0.3
    assert schedule(30) == pytest.approx(0.2)


def test_the_peak_of_cosine_is_1_for_use_as_a_factor() -> None:
    assert cosine(steps=10) == cosine(1.0, steps=10)


def test_a_schedule_may_rise_to_its_floor() -> None:
    schedule = cosine(0.04, steps=100, floor=0.4)
    assert schedule(0) == 0.04
    assert schedule(100) == 0.4
    assert curve(schedule, 101) == sorted(curve(schedule, 101))


@pytest.mark.parametrize("shape", ["linear", "sqrt", "cosine"])
def test_warmup_stable_decay(shape: str) -> None:
    k = np.arange(0, 101)
    x = np.clip((k - 70) / 30, 0, 1)
    left = {"linear": 1 - x, "sqrt": 1 - np.sqrt(x), "cosine": np.cos(np.pi * x / 2) ** 2}[shape]
    expected = np.where(k < 20, 0.3 * (k + 1) / 21, 0.1 + 0.2 * left)
    schedule = warmup_stable_decay(0.3, steps=100, warmup=20, decay=30, floor=0.1, shape=shape)
    np.testing.assert_allclose(curve(schedule, 101), expected, rtol=1e-14)
    assert set(curve(schedule, 71)[20:]) == {0.3}


def test_inverse_sqrt_is_the_papers_equation() -> None:
    d_model, warm = 512, 4000
    schedule = inverse_sqrt((d_model * warm) ** -0.5, warmup=warm)
    for step_num in [1, 2, 100, 3999, 4000, 4001, 16000, 100000]:
        expected = d_model**-0.5 * min(step_num**-0.5, step_num * warm**-1.5)
        assert schedule(step_num - 1) == pytest.approx(expected, rel=1e-14)


def test_exponential_between_and_at_its_stairs() -> None:
    smooth = exponential(0.3, rate=0.5, every=10)
    stairs = exponential(0.3, rate=0.5, every=10, staircase=True)
    assert smooth(5) == pytest.approx(0.3 / math.sqrt(2))
    assert stairs(9.99) == 0.3
    assert stairs(10) == smooth(10) == 0.15
    assert stairs(29) == stairs(20) == smooth(20) == 0.075


def test_piecewise_holds_each_value_from_its_step_on() -> None:
    schedule = piecewise({30: 0.01, 0: 0.1, 60: 0.001})
    assert schedule == piecewise((30, 60), [0.1, 0.01, 0.001])
    assert [schedule(k) for k in (0, 29, 29.999, 30, 59, 60, FAR)] == [
        *(0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001)
    ]
    assert piecewise({0: 0.1})(FAR) == 0.1


@pytest.mark.parametrize("growth", [1, 1.5, 2, 3, 7])
def test_warm_restarts_begin_where_the_sum_of_the_periods_says(growth: float) -> None:
    schedule = warm_restarts(0.3, period=10, growth=growth, floor=0.1)
    start, period = 0.0, 10.0
    for _ in range(12):
        assert schedule(start) == pytest.approx(0.3, rel=1e-12)
        assert schedule(start + period / 2) == pytest.approx(0.2, rel=1e-12)
        assert schedule(start + period * (1 - 1e-6)) == pytest.approx(0.1, rel=1e-9)
        start, period = start + period, period * growth


@pytest.mark.parametrize("growth", [2, 3, 5, 6, 7, 10])
def test_whole_restarts_are_exact_however_far(growth: int) -> None:
    # ⌊log(…)⌋ is one too few at some of these, such as log(125, 5) = 3.0000000000000004's neighbours
    schedule = warm_restarts(0.3, period=1, growth=growth)
    start = 0
    for i in range(14):
        assert schedule(start) == 0.3
        if i > 0:
            assert schedule(start - 1) == pytest.approx(
                0.15 * (1 + math.cos(math.pi * (1 - growth ** -(i - 1)))), rel=1e-9, abs=1e-15
            )
        start += growth**i


def test_one_cycle_stays_at_its_end() -> None:
    # PyTorch's goes on along the cosine at k = steps, and fails afterwards
    schedule = one_cycle(0.3, steps=50, start_factor=10, end_factor=100)
    assert schedule(0) == pytest.approx(0.03)
    assert schedule(14) == 0.3
    assert schedule(49) == schedule(50) == schedule(FAR) == 0.3 / 10 / 100


def test_one_cycle_without_room_to_rise_starts_at_its_peak() -> None:
    # PyTorch divides by zero where pct_start·total_steps is 1
    assert one_cycle(0.3, steps=10, warmup_fraction=0.1)(0) == 0.3
    assert one_cycle(0.3, steps=1, warmup_fraction=1.0)(0) == 0.3


def test_warmup_rises_to_the_first_value_and_then_shifts() -> None:
    inner = exponential(0.3, rate=0.9)
    schedule = warmup(inner, 4)
    assert curve(schedule, 4) == pytest.approx([0.06, 0.12, 0.18, 0.24])
    assert [schedule(k + 4) for k in range(20)] == curve(inner, 20)
    assert curve(warmup(inner, 4, start=0.0), 5) == pytest.approx([0, 0.075, 0.15, 0.225, 0.3])
    assert curve(warmup(inner, 4, start=0.5), 5) == pytest.approx(
        [0.15, 0.1875, 0.225, 0.2625, 0.3]
    )


def test_the_cosine_of_transformers_is_a_warmup_from_0() -> None:
    # transformers.get_cosine_schedule_with_warmup, transcribed
    warm, steps = 10, 60
    expected = [
        k / warm if k < warm else 0.5 * (1 + math.cos(math.pi * (k - warm) / (steps - warm)))
        for k in range(steps + 1)
    ]
    schedule = warmup(cosine(steps=steps - warm), warm, start=0.0)
    assert curve(schedule, steps + 1) == pytest.approx(expected, rel=1e-12)


def test_join_keeps_the_value_after_the_length_of_its_last_piece() -> None:
    rest = exponential(0.3, rate=0.9)
    ends = join((constant(1.0), 5), (rest, 10))
    goes_on = join((constant(1.0), 5), rest)
    assert ends(15) == goes_on(15) == rest(10)
    assert ends(16) == ends(FAR) == rest(10)
    assert goes_on(16) == rest(11)


def test_a_schedule_times_a_number() -> None:
    schedule = linear(0.3, 0.1, 10)
    for k in (0, 3, 10, 99):
        assert (schedule * 0.5)(k) == (0.5 * schedule)(k) == schedule(k) * 0.5
        assert (np.float64(0.5) * schedule)(k) == schedule(k) * 0.5


def test_a_fraction_of_a_step_lies_between() -> None:
    assert linear(0.0, 1.0, 10)(2.5) == 0.25
    assert cosine(steps=1, floor=0.5)(0.5) == pytest.approx(0.75)
