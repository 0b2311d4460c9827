"""Places that cannot be written to, and files that cannot be read: one line, before any work is done."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import call

NOWHERE = {
    "train": ("train", "line.py", "--out", "taken/run"),
    "race": ("race", "line.py", "--out", "taken/race"),
    "lr": ("lr", "line.py", "--out", "taken/page.html"),
    "doctor": ("doctor", "line.py", "--html", "taken/page.html"),
    "init": ("init", "line.py", "--html", "taken/page.html"),
    "curvature": ("curvature", "line.py", "--html", "taken/page.html"),
    "graph": ("graph", "line.py", "--html", "taken/page.html"),
    "movie": ("movie", "bowl", "--out", "taken/page.html"),
    "film": ("movie", "bowl", "--gif", "taken/film.gif"),
    "lab": ("lab", "pca", "--out", "taken/page.html"),
    "new": ("new", "task", "taken/task.py"),
}


@pytest.mark.parametrize("command", NOWHERE)
def test_a_place_that_cannot_be_is_told_before_the_work(
    command: str, line_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def works(*_: Any) -> None:
        raise AssertionError("it works before it looks where to write")

    monkeypatch.setattr("torch.Tensor.backward", works)
    (line_file.parent / "taken").write_text("a file")
    result = call(*NOWHERE[command])
    assert result.exit_code == 2, result.stderr
    assert result.stderr.startswith("error: ")
    assert "taken" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_damaged_checkpoint_is_wrong_input(line_file: Path) -> None:
    arguments = ("train", "line.py", "--out", "kept", "--epochs")
    assert call(*arguments, "1").exit_code == 0
    kept = line_file.parent / "kept" / "checkpoint.safetensors"
    kept.write_bytes(kept.read_bytes()[:100])
    result = call(*arguments, "2", "--resume")
    assert result.exit_code == 2
    assert "is truncated or damaged" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_full_disk_is_a_failure_of_the_work(
    line_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any, path: Path, *__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("thalweg.train.running.archive.save_file", full)
    result = call("train", "line.py", "--epochs", "1")
    assert result.exit_code == 1
    assert "cannot be written: No space left on device." in result.stderr
