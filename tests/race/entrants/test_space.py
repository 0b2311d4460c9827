from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import TaskError
from thalweg.race.entrants.space import (
    Choice,
    Integers,
    LogUniform,
    LogUniformBelowOne,
    Space,
    Uniform,
    choice,
    integers,
    log_uniform,
    log_uniform_below_one,
    parse_space,
    uniform,
)

UNIT = st.floats(0, 1)


@st.composite
def ordered(draw: st.DrawFn, low: float, high: float) -> tuple[float, float]:
    first, second = draw(st.lists(st.floats(low, high), min_size=2, max_size=2))
    least, most = sorted((first, second))
    width = max(abs(least), abs(most), 1e-6) * 1e-6
    return (least, most) if most - least > width else (least, least + width)


SPACES = st.one_of(
    st.builds(lambda b: uniform(*b), ordered(-1e3, 1e3)),
    st.builds(lambda b: log_uniform(*b), ordered(1e-12, 1e6)),
    st.builds(lambda b: log_uniform_below_one(*b), ordered(0, 0.99999)),
    st.builds(lambda low, more: integers(low, low + more), st.integers(-9, 9), st.integers(1, 9)),
)


@given(SPACES, UNIT, UNIT)
def test_a_space_is_monotone_and_stays_within_its_bounds(space: Space, u: float, v: float) -> None:
    u, v = sorted((u, v))
    assert space.low <= space.at(u) <= space.at(v) <= space.high  # type: ignore[attr-defined]


@given(SPACES)
def test_the_ends_of_a_space_are_within_reach(space: Space) -> None:
    low, high = space.low, space.high  # type: ignore[attr-defined]
    if isinstance(space, LogUniformBelowOne):
        assert 1 - space.at(0) == pytest.approx(1 - low, rel=6e-3)
        assert 1 - space.at(1) == pytest.approx(1 - high, rel=6e-3)
        return
    rounding = 1e-3 * (high - low) if isinstance(space, Uniform) else 0.0
    assert space.at(0) == pytest.approx(low, rel=6e-3, abs=rounding)
    assert space.at(1) == pytest.approx(high, rel=6e-3, abs=rounding)


@given(SPACES, UNIT)
def test_a_value_survives_json_as_the_same_value(space: Space, u: float) -> None:
    value = space.at(u)
    assert type(value) in (int, float)
    assert json.loads(json.dumps(value)) == value


@pytest.mark.parametrize("u", [0.0, 0.1, 0.25, 0.5, 0.9])
def test_values_follow_their_equations(u: float) -> None:
    assert uniform(-2, 6).at(u) == pytest.approx(-2 + 8 * u)
    assert log_uniform(1e-4, 10).at(u) == pytest.approx(10 ** (-4 + 5 * u), rel=5e-3)
    gap = 1 - log_uniform_below_one(0.9, 0.9999).at(u)
    assert gap == pytest.approx(10 ** (-1 - 3 * u), rel=5e-3)


def test_the_widest_and_the_narrowest_ranges_hold() -> None:
    assert log_uniform(1e-300, 1e300).at(0.5) == 1.0
    assert 1.0 <= log_uniform(1, math.nextafter(1, 2)).at(0.5) <= math.nextafter(1, 2)
    with pytest.raises(TaskError, match="both finite"):
        uniform(-1.7e308, 1.7e308)


def test_values_read_well() -> None:
    assert log_uniform(1e-4, 1).at(0.3) == 0.00158
    assert uniform(0.5, 0.99).at(1 / 3) == 0.6633
    assert log_uniform_below_one(0.9, 0.999).at(1 / 3) == 0.9785
    assert uniform(0, 1).at(1e-9) == 0.0


def test_a_narrow_range_is_not_rounded_to_its_ends() -> None:
    narrow = [uniform(1000, 1000.1), log_uniform(1000, 1000.1), log_uniform_below_one(0.5, 0.50001)]
    for space in narrow:
        assert len({space.at(k / 100) for k in range(101)}) > 90


def test_whole_numbers_and_choices_are_drawn_alike() -> None:
    for space in (integers(3, 7), choice("a", "b", None, True, 0.5)):
        drawn = [space.at((k + 0.5) / 1000) for k in range(1000)]
        assert {value: drawn.count(value) for value in drawn} == dict.fromkeys(drawn, 200)
        assert space.size == 5 == len(set(drawn))


def test_spaces_are_values() -> None:
    assert log_uniform(1e-3, 1) == LogUniform(0.001, 1.0)
    assert hash(uniform(0, 1)) == hash(Uniform(0.0, 1.0))
    assert uniform(0.1, 0.5) != log_uniform(0.1, 0.5)
    assert integers(1, 2) == integers(np.int64(1), np.int64(2))
    assert type(integers(np.int64(1), np.int64(2)).at(0)) is int
    assert type(uniform(np.float64(0), np.float32(1)).at(np.float64(0.5))) is float
    assert choice(1, 2) == Choice((1, 2))


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (log_uniform(1e-3, 1), "0.001 … 1, logarithmic"),
        (uniform(0, 0.99), "0 … 0.99"),
        (log_uniform_below_one(0.9, 0.9999), "0.9 … 0.9999, logarithmic in 1 − value"),
        (integers(1, 10), "1 … 10, integers"),
        (choice(True, False, None), "True or False or None"),
    ],
)
def test_a_space_says_what_it_is(space: Space, text: str) -> None:
    assert space.text == text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform(1, 1), r"uniform needs low < high.*low=1.0, high=1.0.*fix it"),
        (lambda: uniform(0, math.inf), "both finite"),
        (lambda: uniform(math.nan, 1), "both finite"),
        (lambda: uniform("0", 1), "takes two numbers, got '0'"),
        (lambda: uniform(True, 2), "got True"),
        (lambda: log_uniform(0, 1), r"needs 0 < low.*uniform, or choice\(0, …\)"),
        (lambda: log_uniform(-1, 1), "needs 0 < low"),
        (lambda: log_uniform_below_one(0.5, 1), r"needs 0 ≤ low < high < 1.*high=1.0"),
        (lambda: log_uniform_below_one(-0.1, 0.5), "low=-0.1"),
        (lambda: integers(1, 2.5), "two integers, got 2.5"),
        (lambda: integers(3, 2), "integers needs low < high"),
        (choice, "at least one value"),
        (lambda: choice(1, 2, 1), "given 1 twice"),
        (lambda: choice((0.9, 0.99)), r"got \(0.9, 0.99\)"),
        (lambda: choice(math.nan), "got nan"),
        (lambda: choice(np.float32(1)), "got"),
    ],
)
def test_a_space_that_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("u", [-0.01, 1.01, math.nan])
def test_a_space_is_asked_within_the_unit_interval(u: float) -> None:
    for space in (uniform(0, 1), log_uniform(1, 2), log_uniform_below_one(0, 0.5), integers(1, 2)):
        with pytest.raises(ValueError, match="from 0 to 1"):
            space.at(u)
    with pytest.raises(ValueError, match="from 0 to 1"):
        choice(1).at(u)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beta1=0.5:0.99", ("beta1", Uniform(0.5, 0.99))),
        ("shift=-1:1", ("shift", Uniform(-1.0, 1.0))),
        ("weight_decay=log:1e-5:1e-1", ("weight_decay", LogUniform(1e-5, 0.1))),
        (" beta2 = 1-log:0.9:0.9999 ", ("beta2", LogUniformBelowOne(0.9, 0.9999))),
        ("k=int:1:10", ("k", Integers(1, 10))),
        ("nesterov=true|false", ("nesterov", Choice((True, False)))),
        ("clip=none|1|0.5", ("clip", Choice((None, 1, 0.5)))),
        ("kind=polar | newton-schulz", ("kind", Choice(("polar", "newton-schulz")))),
    ],
)
def test_a_space_is_read_from_the_command_line(text: str, expected: tuple[str, Space]) -> None:
    name, space = parse_space(text)
    assert (name, space) == expected
    if isinstance(space, Choice):
        assert [type(value) for value in space.values] == [type(v) for v in expected[1].values]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta1", "weight_decay=log:1e-5:0.1"),
        ("=0:1", "does not say what to search"),
        ("beta1=", "Write a name and its space"),
        ("beta 1=0:1", "Write a name"),
        ("beta1=0.9", "neither a range nor a choice"),
        ("beta1=0.9:", "neither a range nor a choice"),
        ("beta1=log:1:2:3", "neither a range nor a choice"),
        ("beta1=a:b", "'a' is not a number"),
        ("k=int:1:2.5", "'2.5' is not an integer"),
        ("lr=lgo:1:2", "No scale is called 'lgo'. Did you mean 'log'"),
        ("lr=quadratic:1:2", "Known are: log, 1-log, int"),
        ("lr=log:0:2", "needs 0 < low"),
        ("x=__import__('os')|2|", "A choice is empty"),
        ("x=1|1", "given 1 twice"),
        ("x=nan|1", "got nan"),
        ("x=0:nan", "both finite"),
    ],
)
def test_a_text_that_is_no_space_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(TaskError, match="does not say what to search") as caught:
        parse_space(text)
    assert message in str(caught.value)
    assert text in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        name, space = parse_space(f"x={text}")
    except TaskError:
        return
    assert name == "x"
    assert json.loads(json.dumps(space.at(0.5))) == space.at(0.5)
