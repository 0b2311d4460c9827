"""What a user's own code does to a command, and what a command does where it cannot write."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import LINE_TASK, TINY, call, flat

ENDINGS = {
    "import sys\nsys.exit(3)": "The file {}/ends.py cannot be run. ends.py, line 2: SystemExit: 3.",
    "raise KeyboardInterrupt": "ends.py, line 1: KeyboardInterrupt.",
    "raise GeneratorExit": "ends.py, line 1: GeneratorExit.",
    "def task():\n    raise SystemExit('bye')": "ends.py:task failed. ends.py, line 2: SystemExit: bye.",
    "def task():\n    raise KeyboardInterrupt": "ends.py:task failed. ends.py, line 2: KeyboardInterrupt.",
}
IN_TRAINING = (
    LINE_TASK.replace("lambda: nn.Linear(1, 1), name", "Quits, name")
    + """
class Quits(nn.Linear):
    def __init__(self):
        super().__init__(1, 1)
        self.steps = 0
    def forward(self, x):
        self.steps += self.training
        if self.steps > 5:
            exit(4)
        return super().forward(x)
"""
)


@pytest.mark.parametrize("verb", ["train", "race", "lr"])
@pytest.mark.parametrize(("content", "message"), ENDINGS.items(), ids=list(ENDINGS.values()))
def test_a_file_that_ends_the_program_is_named(
    verb: str, content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ends.py").write_text(content)
    result = call(verb, "ends.py")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message.format(tmp_path) in result.stderr


def test_a_model_that_ends_the_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quits.py").write_text(IN_TRAINING)
    result = call("train", "quits.py", "--optimizer", "sgd", "--lr", "0.1")
    assert result.exit_code == 2
    assert "The task ends the program. quits.py, line 38: SystemExit: 4." in result.stderr


def test_what_user_code_prints_does_not_spoil_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    talking = "print('imported')\n" + LINE_TASK.replace(
        "def task():", "def task():\n    print('made')"
    )
    (tmp_path / "talks.py").write_text(talking)
    commands = (
        ("race", "talks.py", *TINY),
        ("train", "talks.py", "--epochs", "1"),
        ("lr", "talks.py", "--steps", "20", "--seeds", "1"),
    )
    for command in commands:
        result = call(*command, "--json")
        assert isinstance(json.loads(result.stdout), dict)
        assert "imported\nmade" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("race", "digits", "--out", ""),
        ("lr", "digits", "--out", ""),
        ("train", "digits", "--out", ""),
        ("new", "task", ""),
    ],
    ids=" ".join,
)
def test_an_empty_path_is_refused(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*command)
    assert result.exit_code == 2
    assert "A path is expected, got an empty text" in flat(result.stderr.replace("│", ""))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("as_json", [True, False])
def test_a_report_that_cannot_be_written_costs_no_result(
    as_json: bool, line_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Any, *_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("thalweg.race.runner.write_text", full)
    result = call("race", "line.py", *TINY, "--out", "out", *(["--json"] if as_json else []))
    assert result.exit_code == 1
    assert "error: Cannot write out/race.json: No space left on device." in flat(result.stderr)
    if as_json:
        assert json.loads(result.stdout)["standings"]
    else:
        assert "optimizer" in result.stdout
