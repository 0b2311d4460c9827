"""What is refused, and what the message says."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.schedules.test_value import CHANGES
from thalweg import schedules
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


@pytest.mark.parametrize("k", [-1, -1e-9, math.nan, math.inf, -math.inf, "3", None, [1]])
def test_a_step_is_a_finite_number_from_0(k: Any) -> None:
    for schedule, _ in CHANGES:
        with pytest.raises(
            ValueError, match="a step must be a finite number of at least 0, got"
        ) as told:
            schedule(k)
        assert str(told.value).startswith(schedule.name)
        assert str(told.value).endswith(f"{k!r}.")


def test_a_step_may_be_a_tensor_and_loses_nothing_by_it() -> None:
    schedule = linear(0.1, 0.3, 7)
    assert schedule(torch.tensor(3)) == schedule(3)
    assert type(schedule(torch.tensor(3.0, dtype=torch.float32))) is float


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: constant("a"), TypeError, "constant: value must be a finite number, got 'a'"),
    (lambda: constant(True), TypeError, "constant: value must be a finite number, got True"),
    (lambda: constant(math.nan), ValueError, "constant: value must be a finite number, got nan"),
    (lambda: constant(10**400), ValueError, "constant: value must be a finite number, got 1000"),
    (lambda: linear(math.inf, 0, 5), ValueError, "linear: start must be a finite number, got inf"),
    (lambda: linear(0, 1, 0), ValueError, "linear: steps must be a number of steps above 0, got 0"),
    (lambda: linear(0, 1, math.inf), ValueError, "linear: steps must be a number of steps above 0"),
    (lambda: cosine(1, steps=-5), ValueError, "cosine: steps must be a number of steps above 0"),
    (
        lambda: cosine(1, steps=5, warmup=-1),
        ValueError,
        "cosine: warmup must be a number of steps of at least 0, got -1",
    ),
    (
        lambda: cosine(1, steps=5, warmup=5),
        ValueError,
        "cosine: warmup must be less than steps, which counts both, got warmup=5 and steps=5",
    ),
    (
        lambda: one_cycle(1, steps=0.5),
        ValueError,
        "one_cycle: steps must be a finite number of at least 1, got 0.5",
    ),
    (
        lambda: one_cycle(1, steps=5, warmup_fraction=1.1),
        ValueError,
        "one_cycle: warmup_fraction must be a number from 0 to 1, got 1.1",
    ),
    (
        lambda: one_cycle(1, steps=5, start_factor=0),
        ValueError,
        "one_cycle: start_factor must be a finite number above 0, got 0",
    ),
    (
        lambda: one_cycle(1, steps=5, end_factor=-1),
        ValueError,
        "one_cycle: end_factor must be a finite number above 0, got -1",
    ),
    (
        lambda: one_cycle(1, steps=5, anneal="cosine"),
        ValueError,
        "one_cycle: anneal must be one of 'cos', 'linear', got 'cosine'. Did you mean 'cos'?",
    ),
    (
        lambda: warmup_stable_decay(1, steps=9, warmup=5, decay=5),
        ValueError,
        "warmup_stable_decay: warmup + decay must be at most steps, which counts all, got warmup=5",
    ),
    (
        lambda: warmup_stable_decay(1, steps=9, warmup=0, decay=0),
        ValueError,
        "warmup_stable_decay: decay must be a number of steps above 0, got 0",
    ),
    (
        lambda: warmup_stable_decay(1, steps=9, warmup=0, decay=1, shape=3),  # type: ignore[arg-type]
        ValueError,
        "warmup_stable_decay: shape must be one of 'linear', 'sqrt', 'cosine', got 3",
    ),
    (
        lambda: inverse_sqrt(1, warmup=0),
        ValueError,
        "inverse_sqrt: warmup must be a number of steps",
    ),
    (
        lambda: polynomial(1, steps=5, power=0),
        ValueError,
        "polynomial: power must be a finite number above 0, got 0",
    ),
    (
        lambda: exponential(1, rate=0),
        ValueError,
        "exponential: rate must be a finite number above 0, got 0",
    ),
    (
        lambda: exponential(1, rate=1, staircase=1),  # type: ignore[arg-type]
        TypeError,
        "exponential: staircase must be True or False, got 1",
    ),
    (
        lambda: warm_restarts(1, period=5, growth=0.5),
        ValueError,
        "warm_restarts: growth must be a finite number of at least 1, got 0.5",
    ),
    (
        lambda: piecewise({5: 0.1}),
        ValueError,
        "piecewise: a value for step 0 is missing; got steps [5]",
    ),
    (
        lambda: piecewise({0: 0.1, -3: 0.2}),
        ValueError,
        "piecewise: a step must be a finite number of at least 0, got -3",
    ),
    (
        lambda: piecewise({0: 0.1, "5": 0.2}),
        TypeError,
        "piecewise: a step must be a finite number of at least 0, got '5'",
    ),
    (
        lambda: piecewise({0: 0.1}, [0.1]),
        ValueError,
        "piecewise: a dictionary of steps holds its values; expected no others, got [0.1]",
    ),
    (lambda: piecewise([5]), TypeError, "piecewise: expected {step: value}, such as"),
    (lambda: piecewise(5, [1, 2]), TypeError, "piecewise: expected {step: value}, such as"),  # type: ignore[arg-type]
    (
        lambda: piecewise([5, 5], [1, 2, 3]),
        ValueError,
        "piecewise: boundaries must ascend, got [5, 5]",
    ),
    (
        lambda: piecewise([5], [1, 2, 3]),
        ValueError,
        "piecewise: 1 boundaries part 2 values, got 3",
    ),
    (
        lambda: piecewise([5], [1, math.nan]),
        ValueError,
        "piecewise: a value must be a finite number, got nan",
    ),
    (
        lambda: piecewise([0], [1, 2]),
        ValueError,
        "piecewise: a boundary must be a number of steps above 0, got 0",
    ),
    (
        lambda: warmup(0.1, 5),  # type: ignore[arg-type]
        TypeError,
        "warmup: schedule must be a schedule, such as constant(0.1), got 0.1",
    ),
    (
        lambda: warmup(constant(1), 5, start=2),
        ValueError,
        "warmup: start must be a number from 0 to 1, got 2",
    ),
    (lambda: join(), ValueError, "join: no pieces; expected pairs (schedule, steps)"),
    (
        lambda: join(constant(1), constant(2)),
        ValueError,
        "join: piece 1 of 2 has no number of steps, which only the last may lack: write (constant(",
    ),
    (
        lambda: join((constant(1), 5, 6)),  # type: ignore[arg-type]
        TypeError,
        "join: piece 1 of 1 must be a pair (schedule, steps), got (constant(1.0), 5, 6)",
    ),
    (
        lambda: join((constant(1), 0), constant(2)),
        ValueError,
        "join: the steps of piece 1 of 2 must be a number of steps above 0, got 0",
    ),
    (
        lambda: join((0.1, 5), constant(2)),  # type: ignore[arg-type]
        TypeError,
        "join: the schedule of piece 1 of 2 must be a schedule, such as constant(0.1), got 0.1",
    ),
    (
        lambda: constant(1) * "a",  # type: ignore[operator]
        TypeError,
        "scaled: factor must be a finite number, got 'a'",
    ),
    (
        lambda: constant(1) * constant(2),  # type: ignore[operator]
        TypeError,
        "scaled: factor must be a finite number, got constant(2.0)",
    ),
    (
        lambda: exponential(-1, rate=2)(5000),
        OverflowError,
        "exponential(-1.0, rate=2.0) is not a finite number at step 5000: -inf",
    ),
    (
        lambda: (constant(1e300) * 1e300)(7),
        OverflowError,
        "constant(1e+300) * 1e+300 is not a finite number at step 7: inf",
    ),
]


@pytest.mark.parametrize(("make", "error", "told"), REFUSED, ids=[told for *_, told in REFUSED])
def test_bad_numbers_are_refused(
    make: Callable[[], Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match="^" + re.escape(told)):
        make()


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (
            "cosine",
            "A schedule must be stored as a dictionary with its name under 'name', got 'cosine'",
        ),
        ({"steps": 5}, "A schedule must be stored as a dictionary with its name under 'name', got"),
        ({"name": ["cosine"]}, "A schedule must be stored as a dictionary with its name"),
        (
            {"name": "cosin", "steps": 5},
            "No schedule is called 'cosin'; there are constant, ",
        ),
        ({"name": "Schedule"}, "No schedule is called 'Schedule'; there are"),
        (
            {"name": "cosine", "steps": 5, "flor": 0.1},
            "cosine has no 'flor'; it has peak, steps, floor, warmup. Did you mean 'floor'?",
        ),
        ({"name": "cosine", "peak": 1}, "cosine is stored without steps: {'name': 'cosine'"),
        (
            {"name": "cosine", "steps": -1},
            "cosine: steps must be a number of steps above 0, got -1",
        ),
        ({"name": "piecewise", "values": [1]}, "piecewise is stored without boundaries"),
        (
            {"name": "warmup", "steps": 3, "schedule": {"name": "cosine"}},
            "cosine is stored without steps",
        ),
    ],
)
def test_a_record_that_is_not_a_schedule_is_refused(record: Any, told: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(told)):
        Schedule.from_dict(record)


def test_a_record_is_not_changed_by_reading_it() -> None:
    record = warmup(cosine(steps=5), 3).to_dict()
    before = str(record)
    Schedule.from_dict(record)
    assert str(record) == before


def test_the_base_has_no_values() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Schedule()  # type: ignore[abstract]


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(AttributeError, match="Did you mean 'cosine'"):
        _ = schedules.cosin


def test_schedules_need_no_pytorch() -> None:
    code = (
        "import sys, thalweg.schedules as s; s.join((s.cosine(steps=3), 3), s.constant(1))(5); "
        "heavy = {'torch', 'numpy'}; assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
