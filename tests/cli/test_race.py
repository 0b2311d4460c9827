from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.commands import call
from thalweg.race import RecordFile

SMALL = ("--entrants", "sgd,Adam", "--lrs", "0.03,0.3", "--seeds", "2", "--epochs", "4")


def test_table_on_stdout_progress_on_stderr_report_in_the_folder(line_file: Path) -> None:
    result = call("race", "line.py", *SMALL)
    assert result.exit_code == 0
    assert "optimizer" in result.stdout
    assert "comes first" in result.stdout or "No entrant reached" in result.stdout
    assert "8 of 8 trials" in result.stderr
    assert f"Report: {Path('race-line/report.html')}" in result.stderr
    folder = line_file.parent / "race-line"
    assert len(RecordFile(folder / "records.jsonl").read()) == 8
    assert (folder / "report.html").stat().st_size > 1_000_000


def test_json_is_one_document_and_nothing_else(line_file: Path) -> None:
    result = call("race", "line.py", *SMALL, "--json", "--out", "here", "--target", "0.9")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert list(document) == [
        "schema",
        "task",
        "model",
        "metric",
        "target",
        "budget",
        "rank_by",
        "entrants",
        "standings",
        "sensitivity",
        "trials",
        "run",
    ]
    assert document["schema"] == "thalweg.race/1"
    assert document["task"] == "line"
    assert document["metric"] == {"name": "mse", "direction": "min"}
    assert document["target"] == {"value": 0.9, "text": "validation mse 0.9"}
    assert document["budget"] == {"epochs": 4, "batch_size": 128, "seeds": [0, 1]}
    assert [entrant["lrs"] for entrant in document["entrants"]] == [[0.03, 0.3]] * 2
    assert [place["rank"] for place in document["standings"]] == [1, 2]
    assert {place["entrant"] for place in document["standings"]} == {"sgd", "adam"}
    assert all(
        place["edge"] == {0.03: "lower", 0.3: "upper"}[place["lr"]]
        for place in document["standings"]
    )
    assert len(document["sensitivity"]) == 4
    assert len(document["trials"]) == document["run"]["planned"] == 8
    assert document == json.loads((line_file.parent / "here" / "race.json").read_text())


def test_finished_trials_are_used_again_unless_fresh(line_file: Path) -> None:
    call("race", "line.py", *SMALL)
    again = call("race", "line.py", *SMALL)
    assert "8 of them kept from before" in again.stderr
    assert again.exit_code == 0
    fresh = call("race", "line.py", *SMALL, "--fresh")
    assert "kept" not in fresh.stderr
    assert len(list((line_file.parent / "race-line").glob("records*.jsonl"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digitz",), "Did you mean 'digits'"),
        (("line.py", "--entrants", "sgd,adma"), "'adma'. Did you mean"),
        (("line.py", "--lrs", "1,x"), "--lrs expects numbers"),
        (("line.py", "--lrs=-1"), "positive number, got -1.0"),
        (("line.py", "--seeds", "0"), "at least one seed"),
        (("line.py", "--epochs", "0"), "epochs=0"),
        (("line.py", "--batch-size", "0"), "batch_size=0"),
        (("line.py", "--by", "speed"), "by steps or by seconds"),
        (("line.py", "--threads", "0"), "threads=0"),
        (("line.py:broken",), "fail on the first rows of its training set"),
        (("line.py:number",), "returned int"),
        (("none.py",), "none.py"),
    ],
)
def test_wrong_input_is_one_line_on_stderr_and_exit_code_2(
    line_file: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call("race", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert list(line_file.parent.glob("race-*")) == []


def test_a_race_in_which_every_trial_is_lost_fails_and_says_why(line_file: Path) -> None:
    result = call("race", "line.py", "--entrants", "sgd", "--lrs", "1e30", "--epochs", "4")
    assert result.exit_code == 1
    assert "3 of 3 trials diverged" in " ".join(result.stdout.split())
    assert (line_file.parent / "race-line" / "report.html").exists()


def test_a_folder_that_cannot_be_written_is_said(line_file: Path) -> None:
    (line_file.parent / "taken").write_text("a file")
    result = call("race", "line.py", *SMALL, "--out", "taken")
    assert result.exit_code == 1
    assert "error: Cannot use" in result.stderr
    assert "taken" in result.stderr


# A shell that starts the tests in the background has SIGINT ignored, and its children inherit that.
HEARING_SIGINT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from thalweg.cli import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_ctrl_c_keeps_prints_and_reports_what_was_finished(line_file: Path) -> None:
    folder = line_file.parent / "out"
    records = RecordFile(folder / "records.jsonl")
    process = subprocess.Popen(
        [sys.executable, "-c", HEARING_SIGINT, "race", "line.py", "--seeds", "500", "--out", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(records.read()) < 3 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "Interrupted. What was finished is kept." in err
    assert "Traceback" not in err
    assert "optimizer" in out
    assert "Incomplete:" in out
    finished = len(records.read())
    assert 3 <= finished < 24_000
    assert f"Incomplete: {finished} of 24000 trials" in " ".join(out.split())
    assert (folder / "report.html").exists()
    assert json.loads((folder / "race.json").read_text())["run"]["interrupted"] is True
