"""Entrants with a batch size of their own, and what is counted as a gradient."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.race.races import small
from tests.race.tasks import line
from thalweg import meta, optim
from thalweg.errors import TaskError
from thalweg.race import Entrant, Race, RecordFile, TrialRecord, race
from thalweg.race.stack.grouping import stacks
from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.point import Point
from thalweg.race.trials.recount import by_rows
from thalweg.tasks import Data
from thalweg.train.gradients import gradient_rows

ROWS = 48
RATES = (0.03, 0.3)


def sized(name: str, size: Any, factory: Any = optim.SGD, **options: Any) -> Entrant:
    return Entrant(name, factory, {}, RATES, batch_size=size, **options)


def test_whoever_takes_more_rows_takes_fewer_steps_at_the_same_cost() -> None:
    entrants = [
        "sgd",
        sized("few", 4),
        sized("whole", None),
        sized("lbfgs", None, torch.optim.LBFGS),
    ]
    settings = small(entrants=entrants, epochs=6)
    result = race(line(batch_size=16), **settings, out=None)
    of = {record.entrant: record for record in result.records if record.status == "finished"}
    assert {name: of[name].steps for name in ("sgd", "few", "whole")} == {
        "sgd": 6 * 3, "few": 6 * 12, "whole": 6,
    }  # fmt: skip
    budget = 6 * ROWS / 16
    assert {of[name].gradients for name in ("sgd", "few", "whole")} == {budget}
    assert budget <= of["lbfgs"].gradients
    assert of["whole"].curve.gradients[0] == ROWS / 16  # a gradient over all rows is three
    values = result.to_dict()
    assert values["rank_by"] == "gradients"
    assert (values["budget"]["steps"], values["budget"]["gradients"]) == (18, budget)
    assert [e["batch_size"] for e in values["entrants"]] == ["race", 4, None, None]
    assert {name: record.batch_size for name, record in of.items()} == {
        "sgd": "race", "few": 4, "whole": None, "lbfgs": None,
    }  # fmt: skip
    code = {e["name"]: e["code"] for e in values["entrants"]}
    assert "# It was trained on batches of 4 rows." in code["few"]
    assert "# It was trained on all rows at once." in code["whole"]
    assert "trained on" not in code["sgd"]
    assert "(batches of 4)" in values["entrants"][1]["description"]


def test_a_schedule_spans_the_steps_of_its_own_batches() -> None:
    entrants = [sized("few", 4, schedule="cosine"), sized("whole", None, schedule="cosine")]
    values = race(line(batch_size=16), **small(entrants=entrants, epochs=6), out=None).to_dict()
    assert ["steps=72" in e["code"] for e in values["entrants"]] == [True, False]
    assert ["steps=6)" in e["code"] for e in values["entrants"]] == [False, True]


def test_the_size_of_the_races_batches_changes_no_budget() -> None:
    for size in (4, 16, None):
        result = race(line(batch_size=16), **small(batch_size=size), out=None)
        assert {record.gradients for record in result.records} == {4 * ROWS / 16}
        assert result.rank_by == "steps"  # all take the same


@pytest.mark.parametrize("size", [0, -1, 2.5, "all", True])
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(TaskError, match=r"batch_size of 'few' must be a number of rows"):
        sized("few", size)


def test_a_loader_keeps_its_own() -> None:
    x = torch.linspace(-1, 1, ROWS).reshape(-1, 1)
    rows = TensorDataset(x, 2 * x + 1)
    task = line(data=Data(DataLoader(rows, 8), DataLoader(rows, 16)))
    with pytest.raises(TaskError, match=r"'few' has a batch_size of its own.*DataLoader"):
        race(task, **small(entrants=[sized("few", 4)]), out=None)
    result = race(task, **small(), out=None)
    assert {(record.steps, record.gradients) for record in result.records} == {(24, 24.0)}


def test_trials_of_another_size_are_others_and_those_without_one_are_used_again(
    tmp_path: Path,
) -> None:
    def ran(*sizes: Any) -> Race:
        entrants = [sized(f"sgd {k}", size) for k, size in enumerate(sizes)]
        contest = Race(line(), **small(entrants=entrants), out=tmp_path)
        contest.run()
        return contest

    first = ran("race")
    assert ran("race").reused == 6
    assert ran(8).reused == 0
    again = ran(8)
    assert again.reused == 6
    assert ran(None).reused == 0
    assert again.result().records[0].key != first.result().records[0].key


def test_only_trials_of_one_size_share_a_stack() -> None:
    entrants = [sized("a", "race"), sized("b", 8), sized("c", 8), sized("d", None)]
    trials = [
        (f"{entrant.name}{seed}", Trial(entrant, Point(0.1), seed, 3))
        for seed in (0, 1)
        for entrant in entrants
    ]
    units = [sorted(key for key, _ in unit) for unit in stacks(trials, 8)]
    assert sorted(units) == [["a0", "a1"], ["b0", "b1", "c0", "c1"], ["d0", "d1"]]
    settings = small(entrants=entrants, lrs=list(RATES))
    together = race(line(), **(settings | {"stack": True}), out=None)
    alone = race(line(), **settings, out=None)
    assert {record.stacked for record in together.records} == {2, 4, 8}
    for mine, other in zip(together.records, alone.records, strict=True):
        assert mine.final == pytest.approx(other.final, rel=1e-4)
        assert (mine.steps, mine.gradients) == (other.steps, other.gradients)
        assert mine.curve.gradients == other.curve.gradients


def test_a_small_batch_does_not_keep_trials_from_stacking() -> None:
    result = race(line(), **small(batch_size=3, stack=True), out=None)
    assert all(record.stacked > 1 for record in result.records)


def sam(params: Any, lr: float) -> torch.optim.Optimizer:
    return meta.SAM(torch.optim.SGD(params, lr))


@pytest.mark.parametrize("factory", [optim.SGD, sam])
@pytest.mark.parametrize("size", [16, 20, None])
def test_records_that_counted_batches_are_counted_by_rows(factory: Any, size: Any) -> None:
    task, setting = line(batch_size=16), Setting(size, "mse", "min")
    entrant = Entrant("own", factory, {}, RATES)
    result = race(
        task, **small(entrants=[entrant], batch_size=size, final_seeds=1, epochs=5), out=None
    )
    each = 2 if factory is sam else 1
    for record in result.records:
        curve = record.curve
        before = replace(
            record,
            unit=None,
            gradients=float(each * record.steps),
            curve=replace(curve, gradients=tuple(float(each * step) for step in curve.steps)),
        )
        trial = Trial(entrant, Point(record.lr), record.seed, record.epochs)
        found = by_rows(before, task, trial, setting)
        assert found.unit == gradient_rows(task) == 16
        assert found == record
        other = by_rows(record, task.replace(batch_size=8), trial, setting)
        assert (other.unit, other.gradients) == (8, 2 * record.gradients)


def test_a_folder_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    """Its records know no unit and no batch size, and count each batch as 1."""
    settings = small(batch_size=20)
    whole = Race(line(batch_size=16), **settings, out=tmp_path)
    whole.run()
    file = tmp_path / "records.jsonl"
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    for values in lines:
        del values["unit"], values["batch_size"]
        values["gradients"] = float(values["steps"])
        values["curve"]["gradients"] = list(map(float, values["curve"]["steps"]))
    file.write_text("".join(json.dumps(values) + "\n" for values in lines))
    assert all(record.unit is None for record in RecordFile(file).read())
    again = Race(line(batch_size=16), **settings, out=tmp_path)
    again.run()
    assert again.reused == len(lines)
    assert again.result().records == whole.result().records


@pytest.mark.parametrize(
    "change", [{"batch_size": 0}, {"batch_size": "all"}, {"unit": 0}, {"unit": "8"}]
)
def test_an_edited_record_is_no_record(change: dict[str, Any]) -> None:
    record = TrialRecord("k", "sgd", 0.1, 0, "finished")
    assert TrialRecord.from_dict(record.to_dict()) == record
    with pytest.raises(ValueError, match="wrong kind"):
        TrialRecord.from_dict(record.to_dict() | change)


def test_rules_for_full_batches_race_on_all_rows_within_the_same_budget() -> None:
    entrants = ["sgd", "rprop", "deltabardelta"]
    result = race(line(batch_size=16), **small(entrants=entrants, epochs=6), out=None)
    of = {record.entrant: record for record in result.records if record.status == "finished"}
    assert {name: of[name].steps for name in entrants} == {
        "sgd": 18,
        "rprop": 6,
        "deltabardelta": 6,
    }
    assert {of[name].gradients for name in entrants} == {6 * ROWS / 16}
