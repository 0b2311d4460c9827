from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import call
from thalweg.cli.doctor import EXAMPLES

SICK = """
import numpy as np
from torch import nn
from thalweg import Data, Task

def task():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 6)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    x[:, 1] *= 1e4
    return Task(Data.arrays(x, y, validation=0.2), "cross_entropy", model, epochs=3, batch_size=32)

def model():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))

def healthy():
    found = task()
    return found.replace(data=Data.arrays(
        found.data.train.inputs / 1e4, found.data.train.targets, scale="standard"))
"""


@pytest.fixture
def sick_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sick.py"
    path.write_text(SICK)
    return path


def test_a_healthy_run_exits_with_0(sick_file: Path) -> None:
    result = call("doctor", "sick.py:healthy", "-o", "momentum", "--lr", "0.01")
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "No fault was found in 30 steps." in result.stdout
    assert "watching took" in result.stdout


def test_faults_exit_with_3_and_stand_in_the_document(sick_file: Path) -> None:
    result = call("doctor", "sick.py:task", "-o", "sgd", "--lr", "0.1", "--json")
    assert result.exit_code == 3, result.stdout + result.stderr
    found = json.loads(result.stdout)
    assert (found["schema"], found["task"]) == ("thalweg.doctor/1", "sick")
    assert found["report"]["healthy"] is False
    assert found["treatments"] == []
    verdict = found["report"]["verdicts"][0]
    assert (verdict["kind"], verdict["status"]) == ("fault", "confirmed")
    assert verdict["effect"]["high"] < 1


def test_fix_mends_what_is_confirmed_and_the_page_shows_both_runs(sick_file: Path) -> None:
    command = ("doctor", "sick.py:task", "-o", "sgd", "--lr", "0.1", "--fix", "--html", "page.html")
    result = call(*command)
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "tried  " in result.stdout
    page = Path("page.html").read_text()
    assert "Remedies that were taken" in page
    assert "as given" in page
    again = call(*command)
    assert again.exit_code == 2
    assert "--force" in again.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lr", "-1"), "positive number"),
        (("--budget", "-1"), "at least 0"),
        (("--forks", "nan"), "at least 0"),
        (("--html", "page.txt"), "ends in .html"),
        (("-o", "adm"), "adam"),
        (("--init", "hee"), "he"),
    ],
)
def test_wrong_input_is_refused_before_training(
    sick_file: Path, options: tuple[str, ...], message: str
) -> None:
    result = call("doctor", "sick.py:task", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "epoch 1" not in result.stderr


def test_the_examples_are_of_this_command() -> None:
    assert all(line.startswith("thalweg doctor ") for line in EXAMPLES)
