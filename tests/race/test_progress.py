"""What is told while a race runs: counts, the share of the work, the time that is left."""

from __future__ import annotations

from typing import Any

import pytest

from thalweg.race import Entrant, Point, RacePlan, RaceProgress, Trial, TrialRecord
from thalweg.race import progress as watch_module
from thalweg.race.progress import Watch

ENTRANT = Entrant("sgd", lambda params, lr: None, lrs=(0.1,))  # type: ignore[arg-type, return-value]
PLAN = RacePlan((ENTRANT,), 2, (0, 1), (2, 3, 4, 5), 10, None)  # 4 trials tune, 4 judge: 80 epochs


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch_module.time, "monotonic", clock)
    return clock


def trial(epochs: int = 10) -> Trial:
    return Trial(ENTRANT, Point(0.1), 0, epochs)


def record(epochs: int = 10) -> TrialRecord:
    return TrialRecord("k", "sgd", 0.1, 0, "finished", epochs=epochs)


def told(watched: Any) -> tuple[Watch, list[RaceProgress]]:
    heard: list[RaceProgress] = []
    return Watch(PLAN, heard.append, watched), heard


def test_a_race_from_its_beginning(clock: Clock) -> None:
    watch, heard = told([])
    for waiting in (4, 3, 2, 1):
        watch.running((trial(),), waiting)
        clock.now += 5.0
        watch.ended([record()])
    assert [(p.done, p.planned, p.share) for p in heard] == [
        (0, 8, 0.0),
        (1, 8, 0.125),
        (2, 8, 0.25),
        (3, 8, 0.375),
    ]
    assert [p.seconds_left for p in heard] == [None, 35.0, 30.0, 25.0]
    assert heard[0].running == (trial(),)


def test_a_stack_ends_together(clock: Clock) -> None:
    watch, heard = told([])
    watch.running((trial(),) * 4, 4)
    clock.now += 8.0
    watch.ended([record()] * 4)
    watch.running((trial(),) * 4, 4)
    assert (len(heard[-1].running), heard[-1].done, heard[-1].seconds_left) == (4, 4, 8.0)


def test_what_was_kept_is_done_and_tells_nothing_of_the_speed(clock: Clock) -> None:
    watch, heard = told([record()] * 3)
    watch.running((trial(),), 1)
    clock.now += 2.0
    watch.ended([record()])
    watch.running((trial(),), 4)
    assert [(p.done, p.share, p.seconds_left) for p in heard] == [(3, 0.375, None), (4, 0.5, 8.0)]


def test_what_a_later_round_finds_is_done_too(clock: Clock) -> None:
    watch, heard = told([])
    clock.now += 10.0
    watch.ended([record()] * 4)
    watch.kept([record()] * 2)
    watch.running((trial(),), 2)
    (only,) = heard
    assert (only.done, only.planned, only.share, only.seconds_left) == (6, 8, 0.75, 5.0)


def test_more_and_shorter_trials_than_planned_count_by_their_epochs(clock: Clock) -> None:
    watch, heard = told([])
    watch.running((trial(1),), 20)
    clock.now += 1.0
    watch.ended([record(1)] * 20)
    watch.running((trial(),), 1)
    assert [(p.done, p.planned, p.share) for p in heard] == [(0, 20, 0.0), (20, 21, 0.25)]
    assert heard[-1].seconds_left == 3.0


def test_the_end_is_told_whatever_was_planned(clock: Clock) -> None:
    watch, heard = told([])  # of fewer trials: an entrant that lost all has no final
    clock.now += 1.0
    watch.ended([record()] * 4)
    watch.over()
    (last,) = heard
    assert (last.done, last.planned, last.share, last.running) == (4, 4, 1.0, ())
    assert last.seconds_left == 0.0


def test_nobody_has_to_listen() -> None:
    watch = Watch(PLAN, None, [])
    watch.running((trial(),), 1)
    watch.ended([record()])
    watch.over()
