"""What a race keeps, and what it does not run again."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.race.races import TRIALS, by_stage, outcome, small
from tests.race.tasks import line
from thalweg.race import Race, RaceProgress, RecordFile
from thalweg.race.stack.run import run_unit
from thalweg.tasks import Target


def test_finished_trials_are_used_again(tmp_path: Path) -> None:
    first = Race(line(), **small(), out=tmp_path)
    first.prepare()
    assert first.reused == 0
    first.run()
    again = Race(line(), **small(), out=tmp_path)
    again.prepare()
    assert again.reused == TRIALS
    before = (tmp_path / "records.jsonl").read_bytes()
    again.run()
    assert again.result().records == first.result().records
    assert (tmp_path / "records.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "task", "runs"),
    [
        ({"epochs": 5}, line(), TRIALS),
        ({"batch_size": 8}, line(), TRIALS),
        ({"seeds": [5, 6], "final_seeds": [8, 9]}, line(), TRIALS),
        ({"final_seeds": 3}, line(), 2),
        ({"threads": 2}, line(), TRIALS),
        ({}, line(name="other"), TRIALS),
        ({}, line(model=lambda: nn.Linear(1, 1).double()), TRIALS),
        ({"target": Target("loss", 0.1)}, line(), TRIALS),  # another figure makes the curve
        ({"entrants": ["sgd", "adam", "rmsprop"]}, line(), 6),
        ({"entrants": ["sgd"]}, line(), 0),
        ({"by": "gradients"}, line(), 0),
        ({"by": "seconds"}, line(), 0),
        ({"target": 0.9}, line(), 0),
        ({"target": 1e-9}, line(), 0),
    ],
)
def test_only_what_is_new_is_run(
    tmp_path: Path, change: dict[str, Any], task: Any, runs: int
) -> None:
    Race(line(), **small(), out=tmp_path).run()
    changed = Race(task, **small(**change), out=tmp_path)
    known = len(RecordFile(tmp_path / "records.jsonl").read())
    changed.run()
    assert len(RecordFile(tmp_path / "records.jsonl").read()) - known == runs
    assert len(changed.result().records) == changed.reused + runs


def test_more_learning_rates_run_what_is_new_of_tuning_and_the_final_of_a_new_best(
    tmp_path: Path,
) -> None:
    Race(line(), **small(), out=tmp_path).run()
    more = Race(line(), **small(lrs=[0.001, 0.03, 0.3]), out=tmp_path)
    more.prepare()
    assert more.reused == TRIALS - 4
    more.run()
    assert len(more.result().records) == TRIALS + 4
    assert more.reused == TRIALS  # the worse rate has not changed who is chosen


def test_a_trial_of_tuning_may_have_been_one_of_a_final(tmp_path: Path) -> None:
    """With more seeds of tuning, some on disk are of the other stage."""
    Race(line(), **small(), out=tmp_path).run()
    again = Race(line(), **small(seeds=3), out=tmp_path)
    again.run()
    plain = Race(line(), **small(seeds=3), out=None)
    plain.run()
    assert outcome(again) == outcome(plain)
    assert {record.seed for record in by_stage(again, "tuning")} == {0, 1, 2}
    assert {record.seed for record in by_stage(again, "final")} == {3, 4}
    assert len(RecordFile(tmp_path / "records.jsonl").read()) == TRIALS + 2 + 2


def test_fresh_runs_anew_and_keeps_the_old_records(tmp_path: Path) -> None:
    Race(line(), **small(), out=tmp_path).run()
    fresh = Race(line(), **small(), out=tmp_path, fresh=True)
    fresh.prepare()
    assert fresh.reused == 0
    fresh.run()
    assert len(RecordFile(tmp_path / "records.jsonl").read()) == TRIALS
    assert len(RecordFile(tmp_path / "records.1.jsonl").read()) == TRIALS


@functools.cache
def undisturbed() -> dict[str, Any]:
    whole = Race(line(), **small(), out=None)
    whole.run()
    return outcome(whole)


@pytest.mark.parametrize("at", [1, 4, 9, 11])
@pytest.mark.parametrize("moment", ["before a trial", "within a trial", "after a record"])
def test_an_interrupted_race_keeps_what_was_finished_and_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, at: int
) -> None:
    count = 0

    def interrupting(function: Any, after: bool = False) -> Any:
        def counted(*arguments: Any, **others: Any) -> Any:
            nonlocal count
            count += 1
            if count == at and not after:
                raise KeyboardInterrupt
            value = function(*arguments, **others)
            if count == at:
                raise KeyboardInterrupt
            return value

        return counted

    contest = Race(line(), **small(), out=tmp_path)
    contest.prepare()
    if moment == "before a trial":
        monkeypatch.setattr("thalweg.race.stack.run.run_unit", interrupting(run_unit))
    elif moment == "within a trial":  # of four steps each
        at = 4 * at - 2
        monkeypatch.setattr(torch.autograd, "backward", interrupting(torch.autograd.backward))
    else:
        monkeypatch.setattr(RecordFile, "append", interrupting(RecordFile.append, after=True))
    with pytest.raises(KeyboardInterrupt):
        contest.run()
    monkeypatch.undo()
    finished = (at + 2) // 4 - 1 if moment == "within a trial" else at - (moment[:3] == "bef")
    values = contest.result().to_dict()
    assert (values["run"]["finished"], values["run"]["planned"]) == (finished, TRIALS)
    assert values["run"]["interrupted"] is True
    assert len(RecordFile(tmp_path / "records.jsonl").read()) == finished
    assert contest.write_report() is not None
    resumed = Race(line(), **small(), out=tmp_path)
    resumed.prepare()
    assert resumed.reused == finished
    resumed.run()
    assert outcome(resumed) == undisturbed()
    assert resumed.result().to_dict()["run"]["interrupted"] is False


def test_an_interrupted_measurement_of_seconds_loses_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("thalweg.race.seconds.measure_seconds", interrupted)
    contest = Race(line(), **small(), out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        contest.run()
    values = contest.result().to_dict()
    assert (values["run"]["finished"], values["run"]["interrupted"]) == (TRIALS, True)
    monkeypatch.undo()
    contest.run()
    assert contest.result().step_seconds.keys() == {"sgd", "adam"}


def test_without_a_folder_an_interrupted_race_goes_on_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Race(line(), **small(), out=None)
    whole.run()
    contest = Race(line(), **small(), out=None)
    told = 0

    def stop(progress: RaceProgress) -> None:
        nonlocal told
        told += 1
        if told == 10:  # in the final
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        contest.run(stop)
    assert len(contest.result().records) == 9
    contest.run()
    assert outcome(contest) == outcome(whole)
