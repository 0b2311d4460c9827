from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.commands import SMALL, call, flat, interrupting
from tests.fresh import Fresh
from thalweg.race import RecordFile


# in the third trial, when its record is to be written, when the fourth is made, when the first of
# the final is
@pytest.mark.parametrize(
    ("where", "name", "at", "kept"),
    [
        (torch.autograd, "backward", 2 * 4 + 2, 2),
        (RecordFile, "append", 3, 2),
        (RecordFile, "append", 9, 8),
    ],
)
def test_an_interrupted_race_keeps_prints_and_reports_what_was_finished(
    line_file: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, at: int, kept: int
) -> None:
    from thalweg.race.trials.keys import Keys

    of = Keys.of

    def then_plant(*arguments: Any) -> Keys:  # the probes of the keys take steps, too
        keys = of(*arguments)
        interrupting(monkeypatch, where, name, at)
        return keys

    monkeypatch.setattr(Keys, "of", then_plant)
    result = call("race", "line.py", *SMALL, "--out", "out")
    assert result.exit_code == 130, result.stderr
    assert "Interrupted. What was finished is kept." in result.stderr
    assert "optimizer" in result.stdout
    assert f"{kept} of 12 trials" in flat(result.stdout)
    folder = line_file.parent / "out"
    assert len(RecordFile(folder / "records.jsonl").read()) == kept
    assert (folder / "report.html").exists()
    run = json.loads((folder / "race.json").read_text())["run"]
    assert (run["finished"], run["interrupted"]) == (kept, True)
    monkeypatch.undo()
    monkeypatch.chdir(line_file.parent)
    again = call("race", "line.py", *SMALL, "--out", "out")
    assert again.exit_code == 0
    assert f"{kept} trials are kept from before" in again.stderr


def test_interrupted_before_anything_was_finished(
    line_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupting(monkeypatch, RecordFile, "append", 1)
    result = call("race", "line.py", *SMALL)
    assert result.exit_code == 130
    assert "Report" not in result.stderr
    assert "Traceback" not in result.stderr


# Interrupts itself after the third record, as a terminal does: the whole group of processes. A shell
# that starts the tests in the background has SIGINT ignored, and its children inherit that.
INTERRUPTED = """
import os
import signal

from thalweg.cli import main
from thalweg.race import RecordFile

signal.signal(signal.SIGINT, signal.default_int_handler)
append = RecordFile.append
written = 0


def watched(self, *records):
    global written
    append(self, *records)
    written += 1
    if written == 3:
        os.killpg(os.getpgrp(), signal.SIGINT) if hasattr(os, "killpg") else signal.raise_signal(2)


RecordFile.append = watched
main()
"""


def test_ctrl_c_ends_the_process_with_130_and_without_a_traceback(
    line_file: Path, fresh: Fresh
) -> None:
    command = ["race", "line.py", *SMALL, "--out", "out"]
    done = fresh.run(INTERRUPTED, *command)
    assert done.returncode == 130, done.stderr
    assert "Interrupted. What was finished is kept." in done.stderr
    assert "Traceback" not in done.stderr
    assert len(RecordFile(line_file.parent / "out" / "records.jsonl").read()) == 3
    run = json.loads((line_file.parent / "out" / "race.json").read_text())["run"]
    assert run["command"] == " ".join(["thalweg", *command])


def test_interrupted_in_the_second_of_three_tasks(
    line_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupting(monkeypatch, RecordFile, "append", 15)
    result = call("race", "line.py", "line.py:steep", "line.py:aimless", *SMALL)
    assert result.exit_code == 130
    assert "Interrupted. What was finished is kept." in result.stderr
    assert sorted(path.name for path in line_file.parent.glob("race-*")) == [
        "race-line",
        "race-steep",
    ]
    assert (line_file.parent / "races.html").exists()
