"""What decides a race where nobody said it before: the target, and the seconds of a step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.race.races import SETTERS, TRIALS, by_stage, small
from tests.race.tasks import line
from thalweg import meta, optim
from thalweg.race import Entrant, Race, race
from thalweg.race.entrants.space import uniform
from thalweg.race.trials.step_time import StepTime
from thalweg.tasks import Target


def test_a_target_may_be_given_as_number_or_target() -> None:
    as_number = Race(line(), **small(target=0.2), out=None)
    assert (as_number.subject.metric, as_number.subject.target) == ("mse", 0.2)
    assert as_number.subject.source == "given"
    as_target = Race(line(), **small(target=Target("loss", 0.3)), out=None)
    assert (as_target.subject.metric, as_target.subject.target) == ("loss", 0.3)
    without_metrics = line(cost="mse", target=None)
    assert Race(without_metrics, **small(target=0.2), out=None).subject.metric == "loss"
    assert Race(line(), **small(), out=None).subject.source == "task"


def test_a_task_without_a_target_gets_one_from_fresh_seeds_of_the_best_baseline(
    tmp_path: Path,
) -> None:
    contest = Race(line(target=None), **small(), out=tmp_path)
    assert contest.result().to_dict()["target"] is None
    contest.run()
    values = contest.result().to_dict()
    target, setters = values["target"], by_stage(contest, "target")
    # adam is the one baseline: the better of its two rates, by the median of two seeds
    best = {
        lr: sum(
            min(record.curve.metric[:3])  # type: ignore[type-var]
            for record in by_stage(contest, "tuning")
            if record.entrant == "adam" and record.lr == lr
        )
        / 2
        for lr in (0.03, 0.3)
    }
    assert {record.entrant for record in setters} == {"adam"}
    assert {record.lr for record in setters} == {min(best, key=best.__getitem__)}
    seeds = [record.seed for record in setters]
    assert len(set(seeds)) == SETTERS
    others = [*by_stage(contest, "tuning"), *by_stage(contest, "final")]
    assert not {record.seed for record in others} & set(seeds)
    assert values["budget"]["target_seeds"] == seeds
    third = sorted(min(record.curve.metric[:3]) for record in setters)[-3]  # type: ignore[type-var]
    assert target["value"] == pytest.approx(third, rel=1e-5)
    assert target["value"] >= third  # type: ignore[operator]  # rounded to the easier side
    assert (target["source"], target["version"]) == ("rule", 1)
    assert "adam" in target["how"]
    assert target["rule"] == "third worst of fresh seeds"
    stored = json.loads((tmp_path / "target.json").read_text())
    assert (stored["value"], stored["version"]) == (target["value"], 1)
    assert all(place["trials"] == 2 for place in values["standings"])
    assert len(contest.result().records) == values["run"]["planned"] == TRIALS + SETTERS
    spent = {
        row["entrant"]: row["tuning"]["trials"] + row["final"]["trials"] for row in values["cost"]
    }
    assert spent == {"sgd": 6, "adam": 6}  # what sets the target is nobody's budget


def test_the_next_race_has_the_same_target_and_another_budget_another(tmp_path: Path) -> None:
    first = Race(line(target=None), **small(), out=tmp_path)
    first.run()
    target = first.result().to_dict()["target"]
    second = Race(line(target=None), **small(entrants=["adam", "rmsprop"]), out=tmp_path)
    second.run()
    assert second.reused == 6 + SETTERS
    assert second.result().to_dict()["target"] == target
    more = Race(line(target=None), **small(final_seeds=4), out=tmp_path)
    more.run()
    assert more.reused == TRIALS + SETTERS
    assert more.result().to_dict()["target"] == target
    longer = Race(line(target=None), **small(epochs=6), out=tmp_path)
    longer.run()
    other = longer.result().to_dict()["target"]
    assert (other["version"], other["value"] < target["value"]) == (2, True)
    again = Race(line(target=None), **small(), out=tmp_path)
    again.run()
    assert again.reused == TRIALS + SETTERS
    assert again.result().to_dict()["target"] == target
    stored = json.loads((tmp_path / "target.json").read_text())
    assert [earlier["version"] for earlier in stored["earlier"]] == [1]


def test_a_target_that_an_earlier_version_found_in_tuning_stays(tmp_path: Path) -> None:
    Race(line(target=None), **small(), out=tmp_path).run()
    file, records = tmp_path / "target.json", tmp_path / "records.jsonl"
    stored = json.loads(file.read_text())
    del stored["rule"]
    stored |= {"value": 0.5, "how": "the median over 2 tuning seeds"}
    file.write_text(json.dumps(stored))
    lines = [text for text in records.read_text().splitlines() if '"stage":"target"' not in text]
    records.write_text("".join(f"{text}\n" for text in lines))
    contest = Race(line(target=None), **small(), out=tmp_path)
    contest.run()
    target = contest.result().to_dict()["target"]
    assert (target["value"], target["rule"]) == (0.5, "median of tuning")
    assert not by_stage(contest, "target")
    assert contest.reused == contest.result().to_dict()["run"]["planned"] == TRIALS


def test_a_target_found_in_another_range_of_a_search_does_not_hold(tmp_path: Path) -> None:
    def contest(high: float) -> Race:
        entrant = Entrant("adam", optim.Adam, {}, (0.1, 1.0), {"eps": uniform(0.0, high)})
        settings = small(entrants=[entrant], lrs=None, search="quasi-random", trials=2)
        made = Race(line(target=None), **settings, out=tmp_path)
        made.run()
        return made

    targets = [contest(high).result().to_dict()["target"] for high in (1e-3, 10.0, 1e-3)]
    assert [target["version"] for target in targets] == [1, 2, 1]
    assert targets[0] == targets[2]


def test_a_race_whose_baselines_are_all_lost_has_no_target() -> None:
    result = race(line(target=None), **small(entrants=["adam"], lrs=[1e38]), out=None)
    assert result.to_dict()["target"] is None
    assert {record.status for record in result.records} == {"diverged"}
    assert str(result)


def test_seconds_are_those_of_steps_measured_alone_and_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Race(line(), **small(by="seconds", target=1.5), out=tmp_path)
    first.run()
    measured = first.result().step_seconds
    assert measured.keys() == {"sgd", "adam"}
    assert (tmp_path / "measured.json").exists()
    for place in first.result().to_dict()["standings"]:
        assert place["seconds_a_step"] == measured[place["entrant"]]
        assert place["seconds"] == pytest.approx(place["steps"] * measured[place["entrant"]])
    seconds = [place["seconds"] for place in first.result().to_dict()["standings"]]
    assert seconds == sorted(seconds)

    def never(*arguments: Any) -> Any:
        raise AssertionError("measured again")

    monkeypatch.setattr("thalweg.race.seconds.measure_seconds", never)
    again = Race(line(), **small(by="seconds", target=1.5), out=tmp_path)
    again.run()
    assert again.result().step_seconds == measured


def test_seconds_are_of_this_very_batch_size_and_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[dict[str, Any]] = []

    def noted(task: Any, points: Any, setting: Any) -> dict[str, StepTime]:
        measured.append({name: (point, setting.batch_size) for name, (_, point) in points.items()})
        return dict.fromkeys(points, StepTime((0.25, 0.25)))

    monkeypatch.setattr("thalweg.race.seconds.measure_seconds", noted)

    def run(**change: Any) -> None:
        contest = Race(line(), **small(**change), out=tmp_path)
        contest.run()
        assert set(contest.result().step_seconds.values()) == {0.25}

    for change in (
        {},
        {"batch_size": 16},
        {"lrs": [0.03]},
        {"entrants": ["sgd", "adam", "rmsprop"]},
        {"fresh": True},
    ):
        before = len(measured)
        run(**change)
        assert len(measured) == before + 1, change
        run(**(change | {"fresh": False}))
        assert len(measured) == before + 1, change
    assert [size for _, size in measured[1].values()] == [16, 16]
    assert [point.lr for point, _ in measured[2].values()] == [0.03, 0.03]
    assert list(measured[3]) == ["sgd", "adam", "rmsprop"]  # in turns: only such times compare


def test_who_cannot_be_timed_has_no_seconds_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def but_adam(task: Any, points: Any, setting: Any) -> dict[str, StepTime]:
        nonlocal calls
        calls += 1
        return {"sgd": StepTime((0.5, 0.4, 0.6))}

    monkeypatch.setattr("thalweg.race.seconds.measure_seconds", but_adam)
    for _ in range(2):
        contest = Race(line(), **small(by="seconds"), out=tmp_path)
        contest.run()
        assert contest.result().step_seconds == {"sgd": 0.5}
    assert calls == 1


def test_by_itself_a_race_counts_gradients_where_a_step_costs_several() -> None:
    def sam(params: Any, lr: float) -> torch.optim.Optimizer:
        return meta.SAM(torch.optim.SGD(params, lr))

    plain = Race(line(), **small(out=None))
    plain.run()
    assert plain.result().rank_by == "steps"
    mixed = Race(line(), **small(entrants={"sgd": "sgd", "sam": sam}, out=None))
    mixed.run()
    assert mixed.result().rank_by == "gradients"
    chosen = Race(line(), **small(entrants={"sgd": "sgd", "sam": sam}, out=None, by="steps"))
    chosen.run()
    assert chosen.result().rank_by == "steps"
