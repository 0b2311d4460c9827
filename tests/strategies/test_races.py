"""Strategies as entrants of a race, and on the command line."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.commands import LINE_TASK, call
from tests.race.races import by_stage, small, timeless
from tests.race.tasks import line
from thalweg.errors import TaskError
from thalweg.race import Entrant, race
from thalweg.race.stack.reasons import why_not
from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.point import Point
from thalweg.strategies import curriculum, plain

RATES = (0.03, 0.3)


def sgd(name: str, strategy: Any = None) -> Entrant:
    return Entrant(name, torch.optim.SGD, {}, RATES, strategy=strategy)


def test_a_strategy_that_changes_nothing_cannot_be_told_from_no_strategy() -> None:
    entrants = [sgd("sgd"), sgd("plain", plain())]
    result = race(line(), **small(entrants=entrants, final_seeds=6), out=None)
    (claim,) = result.judgement.claims
    assert "are not distinguishable" in str(claim)
    for stage in ("tuning", "final"):
        records = [timeless(record) for record in by_stage(result, stage)]
        found = [
            {(r.lr, r.seed): replace(r, key="", entrant="") for r in records if r.entrant == name}
            for name in ("sgd", "plain")
        ]
        assert found[0] == found[1]
        assert found[0]


def test_all_stages_together_have_the_budget_of_a_trial() -> None:
    entrants = [
        sgd("sgd"),
        sgd("parts", plain(parts=3)),
        sgd("easy first", curriculum()),
        sgd("self-paced", curriculum("self")),
    ]
    result = race(line(batch_size=16), **small(entrants=entrants, epochs=6), out=None)
    assert {record.status for record in result.records} == {"finished"}
    budget = 6 * 48 / 16
    for record in result.records:
        assert budget <= record.gradients < budget + 1, record.entrant
        assert record.curve.gradients[-1] == record.gradients
        assert list(record.curve.gradients) == sorted(record.curve.gradients)
    code = {e["name"]: e["code"] for e in result.to_dict()["entrants"]}
    assert "# It was trained by the strategy plain:parts=3." in code["parts"]
    keys = {record.key for record in result.records}
    assert len(keys) == len(result.records)


def test_a_strategy_trains_apart_from_stacks_and_is_no_text() -> None:
    trial = Trial(sgd("parts", plain(parts=2)), Point(0.1), seed=0, epochs=2)
    assert why_not(line(), [trial], Setting(8, "loss", "min")) == (
        "parts: Its strategy trains one model at a time."
    )
    with pytest.raises(TaskError, match="strategy must be one of"):
        sgd("x", "curriculum")


def test_the_command_line_trains_by_a_strategy_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("line.py").write_text(LINE_TASK)
    text = "train line.py -o sgd --lr 0.1 --epochs 4 --strategy plain:parts=2 --out r --json"
    ended = call(*shlex.split(text))
    assert ended.exit_code == 0, ended.output
    assert len(json.loads(ended.stdout)["history"]) == 4
    assert sorted(each.name for each in Path("r").glob("checkpoint*")) == [
        "checkpoint.stage-1.safetensors",
        "checkpoint.stage-2.safetensors",
    ]
    before = Path("r/model.safetensors").read_bytes()
    Path("r/checkpoint.stage-2.safetensors").unlink()
    resumed = call("runs", "resume", "r")
    assert resumed.exit_code == 0, resumed.output
    assert Path("r/model.safetensors").read_bytes() == before
    removed = call("runs", "remove", "r")
    assert removed.exit_code == 0, removed.output
    assert not Path("r").exists()
    wrong = call("train", "line.py", "--strategy", "curiculum")
    assert wrong.exit_code == 2
    assert "Did you mean 'curriculum'" in wrong.stderr
