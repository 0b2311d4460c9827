from __future__ import annotations

import itertools
import math

import pytest

from thalweg.race.ranking import (
    Direction,
    edge_of_grid,
    median,
    rank,
    select,
    summarize,
    summarize_all,
)
from thalweg.race.records import TrialRecord

inf = math.inf


def record(
    entrant: str,
    lr: float,
    seed: int,
    reached: int | None,
    final: float | None = 0.5,
    status: str = "finished",
) -> TrialRecord:
    seconds = None if reached is None else reached / 100
    return TrialRecord(
        f"{entrant}-{lr}-{seed}",
        entrant,
        lr,
        seed,
        status,  # type: ignore[arg-type]
        reached_steps=reached,
        reached_seconds=seconds,
        final=final,
    )


def trials(
    entrant: str, lr: float, reached: list[int | None], final: float = 0.5
) -> list[TrialRecord]:
    return [record(entrant, lr, seed, steps, final) for seed, steps in enumerate(reached)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 1, 2], 2),
        ([3, inf, 2], 3),
        ([inf, inf, 2], inf),
        ([4, 2], 3),
        ([2, inf], inf),
        ([7], 7),
    ],
)
def test_median_of_censored_values(values: list[float], expected: float) -> None:
    for order in itertools.permutations(values):
        assert median(order) == expected


def test_summary_counts_misses_and_keeps_the_spread() -> None:
    summary = summarize(
        [
            record("adam", 0.1, 0, 40, 0.9),
            record("adam", 0.1, 1, None, 0.7),
            record("adam", 0.1, 2, 60, 0.8),
        ],
        "max",
    )
    assert (summary.trials, summary.reached) == (3, 2)
    assert (summary.steps, summary.seconds) == (60, 0.6)
    assert (summary.final, summary.final_low, summary.final_high) == (0.8, 0.7, 0.9)


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_lost_trial_is_a_miss_and_the_worst_final_metric(status: str) -> None:
    # It met the target before it was lost: nobody would choose a rate that explodes afterwards.
    lost = [record("sgd", 1.0, seed, 10, None, status) for seed in (0, 1)]
    summary = summarize([*lost, record("sgd", 1.0, 2, 30, 0.9)], "max")
    assert (summary.reached, summary.steps, summary.final) == (1, inf, None)
    assert (summary.final_low, summary.final_high) == (0.9, 0.9)
    assert getattr(summary, status) == 2

    one_lost = summarize(
        [lost[0], record("sgd", 1.0, 1, 20, 0.8), record("sgd", 1.0, 2, 30, 0.9)], "max"
    )
    assert (one_lost.steps, one_lost.final) == (30, 0.8)
    for_errors = summarize(
        [lost[0], record("sgd", 1.0, 1, 20, 0.8), record("sgd", 1.0, 2, 30, 0.9)], "min"
    )
    assert for_errors.final == 0.9


def test_summarize_refuses_a_mixture() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        summarize([record("a", 0.1, 0, 1), record("b", 0.1, 0, 1)], "max")
    with pytest.raises(ValueError, match="exactly one"):
        summarize([], "max")


def test_selection_is_by_the_median_and_not_by_the_luckiest_seed() -> None:
    lucky = trials("sgd", 1.0, [5, None, None])
    steady = trials("sgd", 0.1, [50, 60, 70])
    assert select(summarize_all([*lucky, *steady], "max"), "max").lr == 0.1


def test_selection_among_misses_goes_by_reached_then_final_then_smaller_rate() -> None:
    never = trials("sgd", 0.01, [None, None, None], final=0.9)
    once = trials("sgd", 0.1, [None, None, 30], final=0.4)
    assert select(summarize_all([*never, *once], "max"), "max").lr == 0.1
    worse = trials("sgd", 0.001, [None, None, None], final=0.8)
    assert select(summarize_all([*never, *worse], "max"), "max").lr == 0.01
    assert select(summarize_all([*never, *worse], "min"), "min").lr == 0.001
    same = trials("sgd", 0.5, [None, None, None], final=0.9)
    assert select(summarize_all([*never, *same], "max"), "max").lr == 0.01


@pytest.mark.parametrize(("lr", "edge"), [(0.01, "lower"), (0.1, None), (1.0, "upper")])
def test_edge_of_grid(lr: float, edge: str | None) -> None:
    assert edge_of_grid(lr, (0.01, 0.1, 1.0)) == edge
    assert edge_of_grid(lr, (lr,)) == "single"


def test_planted_speeds_come_out_in_their_order() -> None:
    speeds = {"slow": 90, "fast": 30, "middling": 60}
    records = [
        trial
        for name, steps in speeds.items()
        for lr, factor in ((0.01, 3), (0.1, 1), (1.0, 2))
        for trial in trials(name, lr, [factor * steps - 1, factor * steps, factor * steps + 1])
    ]
    places = rank(records, dict.fromkeys(speeds, (0.01, 0.1, 1.0)), direction="max")
    assert [(p.rank, p.best.entrant, p.best.steps, p.best.lr, p.edge) for p in places] == [
        (1, "fast", 30, 0.1, None),
        (2, "middling", 60, 0.1, None),
        (3, "slow", 90, 0.1, None),
    ]


@pytest.mark.parametrize(("direction", "first"), [("max", "high"), ("min", "low")])
def test_those_who_miss_come_last_by_their_final_metric(direction: Direction, first: str) -> None:
    records = [
        *trials("high", 0.1, [None, None, None], final=0.8),
        *trials("low", 0.1, [None, None, None], final=0.2),
        *trials("reacher", 0.1, [99, 99, None], final=0.5),
    ]
    grids = dict.fromkeys(("high", "low", "reacher"), (0.1,))
    places = rank(records, grids, direction=direction)
    assert [place.best.entrant for place in places[:2]] == ["reacher", first]
    assert places[0].edge == "single"


def test_equals_share_a_rank() -> None:
    records = [
        *trials("b", 0.1, [10, 20, 30]),
        *trials("a", 0.1, [10, 20, 30]),
        *trials("c", 0.1, [40, 40, 40]),
    ]
    places = rank(records, dict.fromkeys("abc", (0.1,)), direction="max")
    assert [(place.rank, place.best.entrant) for place in places] == [(1, "a"), (1, "b"), (3, "c")]


def test_seconds_break_a_tie_of_steps_and_may_decide_first() -> None:
    def timed(entrant: str, steps: int, seconds: float) -> TrialRecord:
        return TrialRecord(
            entrant,
            entrant,
            0.1,
            0,
            "finished",
            reached_steps=steps,
            reached_seconds=seconds,
            final=0.9,
        )

    records = [timed("cheap", 50, 1.0), timed("dear", 40, 3.0), timed("cheaper", 50, 0.5)]
    grids = dict.fromkeys(("cheap", "dear", "cheaper"), (0.1,))
    by_steps = rank(records, grids, direction="max", by="steps")
    by_seconds = rank(records, grids, direction="max", by="seconds")
    assert [place.best.entrant for place in by_steps] == ["dear", "cheaper", "cheap"]
    assert [place.best.entrant for place in by_seconds] == ["cheaper", "cheap", "dear"]


def test_order_of_records_does_not_matter() -> None:
    records = [
        *trials("a", 0.1, [10, 20, None]),
        *trials("a", 1.0, [5, 25, 30]),
        *trials("b", 0.1, [8, 9, 10]),
    ]
    grids = {"a": (0.1, 1.0), "b": (0.1,)}
    expected = rank(records, grids, direction="max")
    assert rank(records[::-1], grids, direction="max") == expected
    assert len(expected) == 2
