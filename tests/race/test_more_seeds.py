"""Seeds that are added where they decide, in races that train: which, of whom, and after an interruption."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.race.races import TRIALS, outcome, small
from tests.race.tasks import line
from thalweg.errors import TaskError
from thalweg.race import Race, RaceProgress
from thalweg.race.trials.plan import RacePlan


def open_race(**other: Any) -> dict[str, Any]:
    """Rates that are close, and two entrants that are the same optimizer."""
    settings: dict[str, Any] = {
        "entrants": {"a": "sgd", "b": "sgd"},
        "lrs": [0.2999, 0.3],
        "target": 0.2,
        "workers": 1,
        "more_seeds": 2,
    }
    return small(**settings | other)


def plan_of(**settings: Any) -> RacePlan:
    return Race(line(), **small(**settings), out=None).plan


def test_there_are_as_many_again_as_the_final_has_if_it_can_tell_anything() -> None:
    plan = plan_of(final_seeds=8, seeds=3)
    assert plan.final_seeds == tuple(range(3, 11))
    assert plan.more_seeds == tuple(range(11, 19))
    assert len(plan.runoff_seeds) == 8
    for settings in (
        {"final_seeds": 6},
        {"final_seeds": 8, "more_seeds": 0},
        {"final_seeds": 8, "entrants": ["sgd"]},  # nobody to compare it with
    ):
        plan = plan_of(**settings)
        assert (plan.runoff_seeds, plan.more_seeds) == ((), ())
    assert len(plan_of(final_seeds=2, more_seeds=5).more_seeds) == 5
    far = plan_of(final_seeds=[1_999_999], more_seeds=3)
    assert not set(far.runoff_seeds) & set(far.more_seeds)
    for wrong in (-1, 1.5, "many"):
        with pytest.raises(TaskError, match="more_seeds"):
            plan_of(more_seeds=wrong)
    with pytest.raises(TaskError, match="others than all those before"):
        RacePlan(plan.entrants, 1, (0,), (1,), 1, None, more_seeds=(1,))


def test_close_points_and_open_entrants_run_more_seeds() -> None:
    heard: list[RaceProgress] = []
    contest = Race(line(), **open_race(), out=None, progress=heard.append)
    contest.run()
    runs = Counter((r.entrant, r.stage) for r in contest.result().records)
    assert runs == {
        (name, stage): number
        for name in "ab"
        for stage, number in (("tuning", 4), ("runoff", 4), ("final", 4))
    }
    values = contest.result().to_dict()
    assert set(values["second_look"]["entrants"]) == {"a", "b"}
    assert values["second_look"]["seeds"] == values["budget"]["more_seeds"] == [4, 5]
    assert values["run"]["finished"] == values["run"]["planned"] == 24
    assert [place["trials"] for place in values["standings"]] == [4, 4]
    assert all(0 <= told.share <= 1 for told in heard)
    assert (heard[-1].done, heard[-1].planned, heard[-1].share) == (24, 24, 1.0)


@pytest.mark.parametrize("by", [None, pytest.param("seconds", marks=pytest.mark.full)])
def test_a_race_stopped_anywhere_goes_on_to_the_same_result(tmp_path: Path, by: str | None) -> None:
    whole = Race(line(), **open_race(by=by), out=tmp_path / "whole")
    whole.run()
    expected = outcome(whole)
    lines = (tmp_path / "whole" / "records.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == len(whole.result().records)
    for kept in (12, 22):
        folder = tmp_path / str(kept)
        folder.mkdir()
        (folder / "records.jsonl").write_text("".join(lines[:kept]))
        stopped = Race(line(), **open_race(by=by), out=folder)
        assert len(stopped.result().records) == kept  # what is there can be looked at
        stopped.run()
        found = outcome(stopped)
        if by == "seconds":  # which are measured again, and order the two
            assert found["records"] == expected["records"]
        else:
            assert found == expected


def test_a_folder_of_a_race_without_more_seeds_is_used(tmp_path: Path) -> None:
    first = Race(line(), **open_race(more_seeds=0), out=tmp_path)
    first.run()
    again = Race(line(), **open_race(), out=tmp_path)
    again.run()
    # all of tuning, and the final of each entrant whose point is the same
    assert again.reused in (8, 10, 12)
    plain = Race(line(), **open_race(more_seeds=0), out=tmp_path)
    plain.run()
    assert outcome(plain) == outcome(first)


def test_small_races_run_no_more_than_they_are_told() -> None:
    contest = Race(line(), **small(), out=None)
    contest.run()
    assert len(contest.result().records) == TRIALS
