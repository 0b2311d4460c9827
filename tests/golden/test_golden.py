"""Our optimizers give the numbers of other libraries, or differ from them for a reason that is known.

The numbers are in the files of this folder. `ours.py` says what a run is called here, and `different.py`
which runs are not ours, and why.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from thalweg import Optimizer, optim
from thalweg.engine import Chain

from .different import DIFFERENT, Different
from .loader import SIZES, Run, Way, difference, follow, load
from .ours import OURS, Named
from .problem import KEPT, SCHEDULES, flat, start

RUNS = load()
TIGHT = 1e-10
"""The largest difference allowed, in units of how far the run has come."""
APART = 1e-7
"""Runs that are not ours differ by more: a thousand times what is allowed to those that are."""


def different(run: Run) -> Different | None:
    return DIFFERENT.get(run.id) or DIFFERENT.get(run.key)


EQUAL = [run for run in RUNS if different(run) is None]
UNEQUAL = [run for run in RUNS if different(run) is not None]


@functools.cache
def chained(rules: Chain, lr: float, schedule: str, engine: str) -> Way:
    return follow(functools.partial(Optimizer, rule=rules, engine=engine), lr, schedule)


def assert_same(way: Way, run: Run) -> None:
    assert difference(way.points, run.points) <= TIGHT
    if run.evaluated is not None:
        assert way.evaluated is not None
        assert np.abs(way.evaluated - run.evaluated).max() <= TIGHT


@pytest.mark.sampled(3)
@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("run", EQUAL, ids=lambda run: run.id)
def test_our_rules_give_their_numbers(run: Run, engine: str) -> None:
    assert_same(chained(OURS[run.key].rules, run.lr, run.schedule, engine), run)


NAMED = [(run, named) for run in EQUAL for named in OURS[run.key].named]


@pytest.mark.parametrize(
    ("run", "named"),
    [pytest.param(run, named, id=f"{run.id}: {named}") for run, named in NAMED],
)
def test_our_optimizers_give_their_numbers(run: Run, named: Named) -> None:
    make = functools.partial(getattr(optim, named.name), **named.options)
    assert_same(follow(make, run.lr, run.schedule), run)


@pytest.mark.parametrize("run", UNEQUAL, ids=lambda run: run.id)
def test_where_ours_differs_the_reason_gives_their_numbers(run: Run) -> None:
    why = different(run)
    assert why is not None
    ours = chained(OURS[run.key].rules, run.lr, run.schedule, "eager")
    assert difference(ours.points, run.points) > APART, f"no difference: {why.reason}"
    assert_same(chained(why.rules, run.lr, run.schedule, "eager"), run)


def test_every_run_has_its_place_and_every_place_its_run() -> None:
    assert {run.key for run in RUNS} == set(OURS)
    assert set(DIFFERENT) <= {run.id for run in RUNS} | {run.key for run in RUNS}
    assert len({run.id for run in RUNS}) == len(RUNS)
    assert len({run.library for run in RUNS}) == 13


def test_every_run_is_whole_and_has_moved() -> None:
    begin = np.array(flat(start()))
    for run in RUNS:
        assert run.version, run.id
        assert run.schedule in SCHEDULES, run.id
        assert tuple(run.points) == KEPT, run.id
        for point in run.points.values():
            assert point.shape == (sum(SIZES),), run.id
            assert np.isfinite(point).all(), run.id
        moved = np.abs(run.points[KEPT[-1]] - begin)
        assert moved.min() > 1e-4, f"{run.id}: an element did not move"


def test_the_schedules_differ() -> None:
    ends = {run.id: run.points[KEPT[-1]] for run in RUNS}
    both = [
        run.key for run in RUNS if f"{run.key}, constant" in ends and run.schedule == "changing"
    ]
    assert len(both) > 40
    for key in both:
        assert np.abs(ends[f"{key}, constant"] - ends[f"{key}, changing"]).max() > 1e-4
