from __future__ import annotations

import json
import subprocess
import sys
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


def test_who_takes_part_may_be_called_optimizers(line_file: Path) -> None:
    small = ("--lrs", "0.3", "--seeds", "1", "--epochs", "4", "--json")
    result = call("race", "line.py", "--optimizers", "Adam,Lion,Prodigy,ScheduleFreeSGD", *small)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    raced = {place["entrant"] for place in document["standings"]}
    assert raced == {"adam", "lion", "prodigy", "schedulefreesgd"}
    assert {trial["status"] for trial in document["trials"]} == {"finished"}


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
        (("line.py", "--lrs", ""), "--lrs is empty"),
        (("line.py", "--out", "line.py"), "line.py is a file; --out expects a folder"),
        (("line.py:broken",), "The model cannot take a batch of the train inputs"),
        (("line.py:labels",), "Labels out of range: found 3"),
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
    result = call("race", "line.py", *SMALL, "--out", "taken/inside")
    assert result.exit_code == 1
    assert "error: Cannot use" in result.stderr
    assert "taken" in result.stderr


def test_one_of_each_is_said_in_the_singular(line_file: Path) -> None:
    one = ("--entrants", "sgd", "--lrs", "0.1", "--seeds", "1", "--epochs", "1")
    result = call("race", "line.py", *one)
    assert "Racing 1 optimizer on line" in result.stderr
    assert "1 trial of 1 epoch." in result.stderr
    assert "1 of 1 trial  done" in result.stderr


# Interrupts itself after three records, at the moment its first argument names. A shell that starts
# the tests in the background has SIGINT ignored, and its children inherit that.
INTERRUPTED = """
import signal
import sys

import torch
from thalweg.cli import main
from thalweg.race import RecordFile

signal.signal(signal.SIGINT, signal.default_int_handler)
moment = sys.argv.pop(1)
append, backward = RecordFile.append, torch.autograd.backward
written = 0


def interrupt(here):
    if here == moment and written == 3:
        signal.raise_signal(signal.SIGINT)


def watched_append(self, record):
    global written
    interrupt("before writing")
    append(self, record)
    written += 1
    interrupt("after writing")


def watched_backward(*arguments, **options):
    interrupt("in training")
    backward(*arguments, **options)


RecordFile.append, torch.autograd.backward = watched_append, watched_backward
main()
"""


@pytest.mark.parametrize("moment", ["in training", "before writing", "after writing"])
def test_ctrl_c_keeps_prints_and_reports_what_was_finished(line_file: Path, moment: str) -> None:
    folder = line_file.parent / "out"
    arguments = ("race", "line.py", "--seeds", "5", "--epochs", "2", "--out", "out")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, moment, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 130, done.stderr
    assert "Interrupted. What was finished is kept." in done.stderr
    assert "Traceback" not in done.stderr
    assert "optimizer" in done.stdout
    assert "Incomplete: 3 of 240 trials" in " ".join(done.stdout.split())
    assert len(RecordFile(folder / "records.jsonl").read()) == 3
    assert (folder / "report.html").exists()
    run = json.loads((folder / "race.json").read_text())["run"]
    assert (run["finished"], run["interrupted"]) == (3, True)
