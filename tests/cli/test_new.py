from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import call
from thalweg.cli.new import TASK_KINDS, template
from thalweg.tasks import load_task
from thalweg.train.health.check import check_task, remarks


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_to_start_from(folder: Path) -> None:
    result = call("new", "task")
    assert result.exit_code == 0
    assert "Wrote my_task.py" in result.stderr
    assert result.stdout.splitlines() == [
        "  thalweg train my_task.py",
        "  thalweg runs",
        "  thalweg runs open my_task-adam-1",
        "  thalweg predict my_task-adam-1 validation --output class",
        "  thalweg race my_task.py",
    ]
    assert [path.name for path in folder.iterdir()] == ["my_task.py"]
    assert (folder / "my_task.py").read_text() == template("arrays")


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_it_trains_and_races_as_it_stands(kind: str, folder: Path) -> None:
    assert call("new", "task", "sub/wine.py", "--kind", kind).exit_code == 0
    text = (folder / "sub" / "wine.py").read_text()
    assert "my_task" not in text
    assert "thalweg race sub/wine.py" in text
    task = load_task("sub/wine.py")
    assert task.target is not None
    assert remarks(task, check_task(task)) == []
    trained = call("train", "sub/wine.py", "--epochs", "1", "--json")
    assert trained.exit_code == 0
    assert json.loads(trained.stdout)["results"]["validation"]["loss"] > 0
    few = ("--optimizers", "adam", "--lrs", "0.1", "--seeds", "1", "--epochs", "1", "--json")
    raced = call("race", "sub/wine.py", *few)
    assert raced.exit_code == 0, raced.stderr


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_what_it_prints_runs_as_printed(kind: str, folder: Path) -> None:
    (folder / "runs" / "wine-adam-1").mkdir(parents=True)  # a name that is taken
    printed = call("new", "task", "my files/wine.py", "--kind", kind).stdout
    *commands, race = [shlex.split(line) for line in printed.splitlines()]
    results = []
    for thalweg, *arguments in commands:
        results.append(call(*arguments))
        assert thalweg == "thalweg"
        assert results[-1].exit_code == 0, results[-1].stderr
    trained, listed, opened, predicted = results
    assert "validation" in trained.stdout
    name = "ridge-adam-1" if kind == "function" else "wine-adam-2"
    assert name in listed.stdout
    assert (folder / "runs" / name / "report.html").is_file(), opened.stderr
    rows = load_task("my files/wine.py").data.split("validation").rows
    assert len(predicted.stdout.splitlines()) == rows
    assert race == ["thalweg", "race", "my files/wine.py"]  # another test races


@pytest.mark.parametrize(
    ("kind", "option"), [("arrays", "width=5"), ("function", "noise=0")], ids=["arrays", "function"]
)
def test_the_options_it_speaks_of_exist(kind: str, option: str, folder: Path) -> None:
    (folder / "mine.py").write_text(template(kind))
    name = option.partition("=")[0]
    assert f"thalweg race my_task.py:{name}=" in template(kind)
    load_task(f"mine.py:{option}")


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_the_target_is_neither_met_at_once_nor_out_of_reach(kind: str, folder: Path) -> None:
    (folder / "mine.py").write_text(template(kind))
    task = load_task("mine.py")
    arguments = ("--optimizer", "adam", "--lr", "0.1" if kind == "function" else "0.01")
    budget = ("--epochs", str(task.epochs), "--batch-size", str(task.batch_size))
    document = json.loads(call("train", "mine.py", *arguments, *budget, "--json").stdout)
    first = document["steps"] / task.epochs
    assert first < document["reached"]["step"] < 0.8 * document["steps"]


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_it_is_well_written(kind: str, folder: Path) -> None:
    (folder / "mine.py").write_text(template(kind))
    tree = ast.parse(template(kind))
    assert ast.get_docstring(tree)
    for settings in (
        ("check", "--line-length", "100"),
        ("format", "--check", "--line-length", "100"),
    ):
        command = [sys.executable, "-m", "ruff", *settings, "--isolated", "mine.py"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_written_over(folder: Path) -> None:
    (folder / "my_task.py").write_text("mine")
    result = call("new", "task")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "my_task.py exists. --force writes over it" in result.stderr
    assert (folder / "my_task.py").read_text() == "mine"
    assert call("new", "task", "--force").exit_code == 0
    assert (folder / "my_task.py").read_text() == template("arrays")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("taks",), "no 'taks' to write. Did you mean 'task'?"),
        (("task", "--kind", "array"), "no kind 'array' of task. Did you mean 'arrays'?"),
        (("task", "mine.txt"), "ends in .py; got mine.txt. Did you mean mine.py?"),
        (("task", "mine"), "Did you mean mine.py?"),
        (("task", "my-task.py"), "cannot be imported under this name"),
        (("task", "taken.py"), "taken.py is a folder"),
    ],
)
def test_wrong_input(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    (folder / "taken.py").mkdir()
    result = call("new", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert [path.name for path in folder.iterdir()] == ["taken.py"]


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    (folder / "file").write_text("")
    result = call("new", "task", "file/mine.py")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: Cannot use")
