"""A schedule is a value: immutable, equal, copied, printed and stored without loss; its numbers matter."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg.schedules as module
from tests import examples
from tests.schedules import made
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

repeatable = settings(max_examples=150 * examples.MORE)
NAMES = {name: getattr(module, name) for name in module.__all__}

# One schedule of each kind, and for each of its fields another value.
CHANGES: list[tuple[Schedule, dict[str, Any]]] = [
    (constant(0.1), {"value": 0.2}),
    (linear(0.1, 0.01, 50), {"start": 0.2, "end": 0.02, "steps": 51}),
    (
        polynomial(0.1, steps=50, power=2),
        {"peak": 0.2, "steps": 51, "power": 2.1, "floor": 0.01},
    ),
    (
        exponential(0.1, rate=0.9, every=5),
        {"peak": 0.2, "rate": 0.91, "every": 6, "staircase": True},
    ),
    (inverse_sqrt(0.1, warmup=5), {"peak": 0.2, "warmup": 6}),
    (
        piecewise({0: 0.1, 30: 0.01}),
        {"boundaries": (31,), "values": (0.1, 0.02)},
    ),
    (
        cosine(0.1, steps=50, warmup=5),
        {"peak": 0.2, "steps": 51, "floor": 0.01, "warmup": 6},
    ),
    (
        warm_restarts(0.1, period=9),
        {"peak": 0.2, "period": 10, "growth": 2, "floor": 0.01},
    ),
    (
        warmup_stable_decay(0.1, steps=50, warmup=5, decay=10),
        {"peak": 0.2, "steps": 51, "warmup": 6, "decay": 11, "floor": 0.01, "shape": "sqrt"},
    ),
    (
        one_cycle(0.1, steps=50),
        {
            "peak": 0.2,
            "steps": 51,
            "warmup_fraction": 0.31,
            "start_factor": 24,
            "end_factor": 9e3,
            "anneal": "linear",
        },
    ),
    (
        warmup(linear(0.1, 0.01, 50), 5),
        {"schedule": linear(0.1, 0.02, 50), "steps": 6, "start": 0.0},
    ),
    (
        join((constant(0.1), 10), (linear(0.1, 0.01, 50), 20)),
        {"pieces": ((constant(0.1), 10), (linear(0.1, 0.01, 50), 21))},
    ),
    (linear(0.1, 0.01, 50) * 0.5, {"schedule": linear(0.1, 0.02, 50), "factor": 0.6}),
]


@pytest.mark.parametrize(("schedule", "changes"), CHANGES, ids=lambda x: getattr(x, "name", ""))
def test_every_number_matters(schedule: Schedule, changes: dict[str, Any]) -> None:
    assert set(changes) == {field.name for field in fields(schedule)}
    values = [schedule(k) for k in range(80)]
    own = {field.name: getattr(schedule, field.name) for field in fields(schedule)}
    for name, value in changes.items():
        other = type(schedule)._from_fields(**{**own, name: value})
        assert other != schedule, name
        assert not np.allclose([other(k) for k in range(80)], values, rtol=1e-6, atol=0), name
        assert repr(other) != repr(schedule)
        assert other.to_dict() != schedule.to_dict()


def test_every_kind_has_its_changes() -> None:
    kinds = {name for name, kind in NAMES.items() if isinstance(kind, type)} - {"Schedule"}
    assert {schedule.name for schedule, _ in CHANGES} == kinds | {"scaled"}


@given(made.schedules, made.steps_taken)
@repeatable
def test_a_schedule_survives_json_repr_pickle_and_copies(schedule: Schedule, k: float) -> None:
    stored = json.loads(json.dumps(schedule.to_dict(), allow_nan=False))
    for other in (
        Schedule.from_dict(stored),
        eval(repr(schedule), dict(NAMES)),
        pickle.loads(pickle.dumps(schedule)),
        copy.deepcopy(schedule),
    ):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert repr(other) == repr(schedule)
        assert other(k) == schedule(k)


@given(made.schedules, made.steps_taken)
@repeatable
def test_every_value_is_a_finite_float_and_the_same_each_time(schedule: Schedule, k: float) -> None:
    assert type(schedule(k)) is float
    assert math.isfinite(schedule(k))
    assert schedule(k) == schedule(k) == schedule(np.float64(k))


@given(made.cosines(), made.steps_taken)
@repeatable
def test_cosine_stays_within_peak_floor_and_zero(schedule: cosine, k: float) -> None:
    bounds = [schedule.peak, schedule.floor] + [0.0] * (schedule.warmup > 0)
    assert min(bounds) - 1e-14 <= schedule(k) <= max(bounds) + 1e-14


@given(st.one_of(made.polynomials, made.restarts, made.stables()), made.steps_taken)
@repeatable
def test_the_others_stay_within_peak_floor_and_zero(schedule: Any, k: float) -> None:
    bounds = [schedule.peak, schedule.floor] + [0.0] * isinstance(schedule, warmup_stable_decay)
    assert min(bounds) - 1e-14 <= schedule(k) <= max(bounds) + 1e-14


@given(
    made.cosines() | made.stables(),
    st.lists(st.floats(0, 1), min_size=2, max_size=10),
)
@repeatable
def test_after_the_warmup_the_way_to_the_floor_is_monotone(
    schedule: Any, places: list[float]
) -> None:
    length = schedule.steps - schedule.warmup
    ks = sorted(schedule.warmup + place * length for place in places)
    values = np.array([schedule(k) for k in ks])
    way = 1 if schedule.floor >= schedule.peak else -1
    assert (np.diff(values) * way >= -1e-14).all()


@given(made.cycles, st.lists(made.steps_taken, min_size=2, max_size=10))
@repeatable
def test_one_cycle_rises_to_its_top_and_then_falls(schedule: one_cycle, ks: list[float]) -> None:
    schedule = one_cycle(
        abs(schedule.peak),
        steps=schedule.steps,
        warmup_fraction=schedule.warmup_fraction,
        start_factor=schedule.start_factor,
        end_factor=schedule.end_factor,
        anneal=schedule.anneal,
    )
    top = schedule.warmup_fraction * schedule.steps - 1
    rising = [schedule(k) for k in sorted(ks) if k <= min(top, schedule.steps - 1)]
    falling = [schedule(k) for k in sorted(ks) if k > top]
    assert (np.diff(rising) >= -1e-14).all()
    assert (np.diff(falling) <= 1e-14).all()


@given(
    st.lists(st.tuples(made.simple, st.integers(1, 20)), min_size=1, max_size=5),
    made.simple,
)
@repeatable
def test_join_gives_every_piece_its_own_steps_one_after_another(
    pieces: list[tuple[Schedule, int]], last: Schedule
) -> None:
    schedule = join(*pieces, last)
    expected = [piece(k) for piece, steps in pieces for k in range(steps)]
    expected += [last(k) for k in range(30)]
    assert [schedule(k) for k in range(len(expected))] == expected


@given(made.simple, st.integers(1, 30), made.steps_taken)
@repeatable
def test_after_its_steps_a_warmup_is_the_schedule(inner: Schedule, steps: int, k: float) -> None:
    schedule = warmup(inner, steps)
    assert schedule(steps + int(k)) == inner(int(k))
    first = inner(0)
    for step in range(steps):
        assert schedule(step) == pytest.approx(first * (step + 1) / (steps + 1), rel=1e-14)


def test_numbers_that_mean_the_same_make_the_same_schedule() -> None:
    schedule = cosine(1, steps=100.0, floor=0, warmup=np.int64(5))
    assert schedule == cosine(np.float64(1), steps=100, warmup=5)
    assert repr(schedule) == "cosine(steps=100, warmup=5)"
    assert {type(v) for v in schedule.to_dict().values()} == {str, float, int}
    assert repr(warmup(constant(2), 5, start=0)) == "warmup(constant(2.0), 5, start=0.0)"
    assert repr(piecewise([3], (1, 2)) * 3) == "piecewise({0: 1.0, 3: 2.0}) * 3.0"
    assert cosine(0.1, steps=10) != polynomial(0.1, steps=10, power=1)
    assert len({cosine(0.1, steps=10), cosine(0.1, steps=10), cosine(0.2, steps=10)}) == 2


def test_a_schedule_cannot_be_changed() -> None:
    for schedule, changes in CHANGES:
        for name, value in changes.items():
            with pytest.raises(FrozenInstanceError):
                setattr(schedule, name, value)


def test_a_dictionary_given_to_piecewise_is_not_kept() -> None:
    pieces = {0: 0.1, 5: 0.2}
    schedule = piecewise(pieces)
    pieces[5] = 9.0
    assert schedule(5) == 0.2


def test_the_name_is_the_kind() -> None:
    assert cosine(steps=5).name == "cosine"
    assert (cosine(steps=5) * 2).name == "scaled"


def test_a_schedule_of_ones_own_is_stored_like_the_others() -> None:
    @dataclass(frozen=True, repr=False)
    class sawtooth(Schedule):  # noqa: N801
        height: float
        inner: Schedule
        offset: float = 0.0
        shift: float = 0.0

        def _value(self, k: float) -> float:
            return self.offset + self.height * ((k + self.shift) % 4) * self.inner(k)

    schedule = warmup(sawtooth(0.5, inner=cosine(steps=5)), 3)
    assert Schedule.from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule
    assert repr(sawtooth(0.5, constant(2))) == "sawtooth(0.5, constant(2.0))"
    assert repr(sawtooth(0.5, constant(2), 0.0, 3.0)) == "sawtooth(0.5, constant(2.0), shift=3.0)"

    with pytest.raises(TypeError, match=r"'cosine' exists already, in thalweg\.schedules"):
        type("cosine", (Schedule,), {})
    assert Schedule.from_dict(cosine(steps=3).to_dict()) == cosine(steps=3)
