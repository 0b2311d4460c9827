from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import SMALL, TINY, call, documented, flat
from thalweg.race import RecordFile


def test_table_on_stdout_progress_on_stderr_report_in_the_folder(line_file: Path) -> None:
    result = call("race", "line.py", *SMALL)
    assert result.exit_code == 0
    assert "optimizer" in result.stdout
    assert "sgd" in result.stdout
    assert "adam" in result.stdout
    assert (
        "Racing 2 optimizers on line to validation mse 0.05: each is tuned with 2 points on 2 "
        in (result.stderr)
    )
    assert "judged on 2 other seeds, 4 epochs a trial; each trial trains alone, as asked." in (
        result.stderr
    )
    assert "12 of 12 trials, done" in result.stderr
    assert f"Report: {Path('race-line/report.html')}" in result.stderr
    folder = line_file.parent / "race-line"
    assert len(RecordFile(folder / "records.jsonl").read()) == 12
    assert "</html>" in (folder / "report.html").read_text(encoding="utf-8")


OWN = """
import torch
from thalweg import chain, rule
from thalweg.race import Entrant
from thalweg.rules import decay

@rule
def mine(g, m, *, beta=0.9):
    m = beta * m + (1 - beta) * g
    return torch.sign(m), m

decayed = Entrant("with decay", chain(mine(), decay(0.1)), lrs=(0.1,))
text = "adam"
number = 3
"""


def test_an_optimizer_of_ones_own_is_raced_by_its_file(line_file: Path) -> None:
    (line_file.parent / "own.py").write_text(OWN)
    names = "sgd,own.py:mine,own.py:decayed+cosine"
    document = documented("line.py", "-o", names, *TINY)
    assert [entrant["name"] for entrant in document["entrants"]] == [
        "sgd",
        "mine",
        "with decay+cosine",
    ]
    assert {trial["status"] for trial in document["trials"]} == {"finished"}


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("own.py", "Write own.py:mine"),
        ("own.py:mien", "Did you mean 'mine'"),
        ("own.py:number", "is 3; expected"),
        ("own.py:text", "is 'adam'; expected"),
        ("nowhere.py:mine", "no file nowhere.py"),
    ],
)
def test_what_a_file_does_not_hold_is_no_optimizer(named: str, words: str, line_file: Path) -> None:
    (line_file.parent / "own.py").write_text(OWN)
    result = call("race", "line.py", "-o", named)
    assert result.exit_code == 2
    assert words in flat(result.stderr)


def test_json_is_one_document_and_nothing_else(line_file: Path) -> None:
    document = documented("line.py", *SMALL, "--out", "here", "--target", "0.9")
    assert list(document) == [
        *("schema", "task", "model", "metric", "target", "budget", "rank_by", "entrants"),
        *("judged_on", "compared_by", "judged_seeds", "second_look", "slack", "further_seeds"),
        *(
            "notes",
            "standings",
            "comparisons",
            "may_be_best",
            "tuning",
            "sensitivity",
            "budget_curves",
            "cost",
            "trials",
            "run",
        ),
    ]
    assert document["schema"] == "thalweg.race/2"
    assert document["task"] == "line"
    assert document["metric"] == {"name": "mse", "direction": "min"}
    assert document["target"] == {
        "value": 0.9,
        "text": "validation mse 0.9",
        "source": "given",
        "how": None,
        "version": None,
        "rule": None,
    }
    assert document["budget"] == {
        "epochs": 4,
        "batch_size": 128,
        "steps": 4,
        "gradients": 4,
        "trials": 2,
        "tuning_seeds": [0, 1],
        "final_seeds": [2, 3],
        "target_seeds": [],
        "runoff_seeds": [],
        "more_seeds": [],
        "search": "grid",
        "equal": True,
    }
    assert [entrant["lrs"] for entrant in document["entrants"]] == [[0.03, 0.3]] * 2
    assert document["entrants"][0]["chosen"] == {"lr": 0.3}
    assert "optim.SGD(model.parameters(), lr=0.3)" in document["entrants"][0]["code"]
    assert {place["entrant"] for place in document["standings"]} == {"sgd", "adam"}
    assert {place["edge"] for place in document["standings"]} == {"upper"}
    assert len(document["comparisons"]) == 1
    assert len(document["tuning"]) == 4
    assert [trial["stage"] for trial in document["trials"]] == ["tuning"] * 8 + ["final"] * 4
    run = document["run"]
    assert (run["planned"], run["finished"], run["interrupted"]) == (12, 12, False)
    assert (run["executor"], run["stacking"]) == ("local", "each trial trains alone, as asked")
    assert document == json.loads((line_file.parent / "here" / "race.json").read_text())


def test_who_takes_part_has_names_and_schedules(line_file: Path) -> None:
    document = documented("line.py", "-o", "Adam,adam+cosine, Prodigy ,ScheduleFreeSGD", *TINY)
    raced = {entrant["name"]: entrant["schedule"] for entrant in document["entrants"]}
    assert raced == {
        "adam": None,
        "adam+cosine": "cosine",
        "prodigy": None,
        "schedulefreesgd": None,
    }
    assert {trial["status"] for trial in document["trials"]} == {"finished"}
    assert "schedules.cosine(0.3, steps=2)" in document["entrants"][1]["code"]
    by_the_other_name = documented("line.py", "--entrants", "adam,adam+cosine", *TINY)
    assert by_the_other_name["run"]["reused"] == 4


@pytest.mark.parametrize("search", [None, "halving", "tpe"])
def test_more_than_the_rate_is_tuned_of_those_that_have_it(
    line_file: Path, search: str | None
) -> None:
    if search == "tpe":
        pytest.importorskip("optuna")
    tune = ("--tune", "momentum=0.5:0.9", "--tune", "weight_decay=log:1e-5:0.1")
    budget = ("--trials", "3", "--seeds", "1", "--final-seeds", "1", "--epochs", "3", "--no-stack")
    chosen = () if search is None else ("--search", search)
    document = documented("line.py", "-o", "sgd,adam,rprop", *tune, *budget, *chosen)
    assert document["budget"]["search"] == (search or "quasi-random")
    assert document["budget"]["trials"] == 3
    searched = {entrant["name"]: set(entrant["search"]) for entrant in document["entrants"]}
    assert searched == {
        "sgd": {"momentum", "weight_decay"},
        "adam": {"weight_decay"},
        "rprop": set(),
    }
    for trial in document["trials"]:
        assert trial["hyperparameters"].keys() == searched[trial["entrant"]]
    sgd = document["entrants"][0]
    assert sgd["chosen"].keys() == {"lr", "momentum", "weight_decay"}
    assert f"momentum={sgd['chosen']['momentum']}" in sgd["code"]


def test_points_and_seeds_are_counted(line_file: Path) -> None:
    settings = (
        "--trials",
        "3",
        "--seeds",
        "2",
        "--final-seeds",
        "5",
        "--epochs",
        "1",
        "--no-stack",
    )
    document = documented("line.py", "-o", "adam", *settings)
    assert document["budget"]["tuning_seeds"] == [0, 1]
    assert document["budget"]["final_seeds"] == [2, 3, 4, 5, 6]
    assert len(document["entrants"][0]["lrs"]) == 3
    assert len(document["trials"]) == 3 * 2 + 5


@pytest.mark.parametrize(("size", "steps"), [("0", 2), ("48", 2), ("16", 6)])
def test_rows_in_a_batch(line_file: Path, size: str, steps: int) -> None:
    document = documented("line.py", "-o", "sgd", *TINY, "--batch-size", size)
    assert document["budget"]["batch_size"] == (int(size) or None)
    assert document["budget"]["steps"] == steps
    assert {trial["steps"] for trial in document["trials"]} == {steps}


@pytest.mark.parametrize("by", ["steps", "seconds", "gradients"])
def test_what_decides(line_file: Path, by: str) -> None:
    document = documented("line.py", *SMALL, "--by", by, "--target", "0.9")
    assert document["rank_by"] == by
    costs = [place[by] for place in document["standings"] if place[by] is not None]
    assert costs == sorted(costs)
    assert costs


def test_stacks(line_file: Path) -> None:
    stacked = documented("line.py", *SMALL[:-1], "--stack")
    alone = documented("line.py", *SMALL, "--out", "alone")
    assert {trial["stacked"] for trial in alone["trials"]} == {1}
    assert max(trial["stacked"] for trial in stacked["trials"]) > 1
    assert stacked["run"]["stacking"]
    finals = [
        {(t["entrant"], t["lr"], t["seed"]): t["final"] for t in document["trials"]}
        for document in (stacked, alone)
    ]
    assert finals[0] == pytest.approx(finals[1], rel=1e-4)


def test_a_task_without_a_target_gets_one(line_file: Path) -> None:
    result = call("race", "line.py:aimless", *SMALL)
    assert result.exit_code == 0
    assert "on aimless to a target that tuning sets" in result.stderr
    document = documented("line.py:aimless", *SMALL)
    assert (document["target"]["source"], document["target"]["version"]) == ("rule", 1)
    assert (line_file.parent / "race-aimless" / "target.json").exists()


def test_finished_trials_are_used_again_unless_fresh(line_file: Path) -> None:
    call("race", "line.py", *SMALL)
    again = call("race", "line.py", *SMALL)
    assert "12 trials are kept from before." in again.stderr
    assert again.exit_code == 0
    fresh = call("race", "line.py", *SMALL, "--fresh")
    assert "kept" not in fresh.stderr
    assert len(list((line_file.parent / "race-line").glob("records*.jsonl"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digitz",), "Did you mean 'digits'"),
        (("line.py", "--entrants", "sgd,adma"), "'adma'. Did you mean"),
        (("line.py", "-o", "sgd,adam+cosin"), "No schedule is called 'cosin'. Did you mean"),
        (("line.py", "-o", ","), "at least one entrant"),
        (("line.py", "-o", "sgd,sgd"), "'sgd' is named twice"),
        (("line.py", "--lrs", "1,x"), "--lrs expects numbers"),
        (("line.py", "--lrs=-1"), "positive number, got -1.0"),
        (("line.py", "--lrs", ""), "--lrs is empty"),
        (("line.py", "--seeds", "0"), "at least one seed"),
        (("line.py", "--final-seeds", "0"), "at least one seed"),
        (("line.py", "--trials", "0"), "trials=0"),
        (("line.py", "--epochs", "0"), "epochs=0"),
        (("line.py", "--batch-size=-1"), "batch_size=-1"),
        (("line.py", "--by", "speed"), "by steps, seconds or gradients, not by 'speed'"),
        (("line.py", "--search", "haling"), "Did you mean 'halving'"),
        (
            ("line.py", "--executor", "cloud"),
            "No executor is called 'cloud'. Known are: local, ray",
        ),
        (("line.py", "--threads", "0"), "threads=0"),
        (("line.py", "--device", "gpu"), "got 'gpu'. Did you mean 'cuda'?"),
        (("line.py", "--device", "cuda:77"), "The device 'cuda:77' cannot be used here"),
        (("line.py", "--target", "nan"), "finite"),
        (("line.py", "--tune", "momentun=0:1"), "Did you mean 'momentum'"),
        (("line.py", "--tune", "momentum"), "momentum"),
        (("line.py", "--tune", "momentum=0.9:0.1"), "momentum"),
        (("line.py", "--tune", "lr=0.1:1"), "give its values with lrs (--lrs)"),
        (("line.py", "-o", "momentum", "--tune", "momentum=0:1"), "momentum fixed, at 0.9"),
        (
            ("line.py", "--tune", "momentum=0.1:0.9", "--search", "grid"),
            "grid searches the learning",
        ),
        (("line.py", "--out", "line.py"), "line.py is a file; --out expects a folder"),
        (("line.py:broken",), "The model cannot take a batch of the train inputs"),
        (("line.py:labels",), "Labels out of range"),
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
    lost = ("--optimizers", "sgd", "--lrs", "1e30", "--epochs", "4", "--no-stack")
    result = call("race", "line.py", *lost)
    assert result.exit_code == 1
    assert "sgd has no trial that came to its end. The first diverged:" in flat(result.stdout)
    assert "Incomplete" not in result.stdout  # who lost everything has no final
    assert (line_file.parent / "race-line" / "report.html").exists()


def test_a_folder_that_cannot_be_written_is_said(line_file: Path) -> None:
    (line_file.parent / "taken").write_text("a file")
    result = call("race", "line.py", *SMALL, "--out", "taken/inside")
    assert result.exit_code == 2
    assert "error: taken/inside cannot be written" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_target_file_that_cannot_be_read_is_said(line_file: Path) -> None:
    call("race", "line.py:aimless", *SMALL)
    (line_file.parent / "race-aimless" / "target.json").write_text("{")
    result = call("race", "line.py:aimless", *SMALL)
    assert result.exit_code == 2
    assert "target.json cannot be read" in flat(result.stderr)


def test_one_of_each_is_said_in_the_singular(line_file: Path) -> None:
    one = ("--optimizers", "sgd", "--lrs", "0.1", "--seeds", "1", "--final-seeds", "1")
    result = call("race", "line.py", *one, "--epochs", "1", "--no-stack")
    assert "Racing 1 optimizer on line" in result.stderr
    assert (
        "tuned with 1 point on 1 seed, then judged on 1 other seed, 1 epoch a trial"
        in result.stderr
    )
    assert "2 of 2 trials, done" in result.stderr


def test_the_old_name_of_the_executor_names_the_new_one(line_file: Path) -> None:
    result = call("race", "line.py", *SMALL, "--engine", "ray")
    assert result.exit_code == 2
    assert "--executor ray" in flat(result.stderr.replace("│", ""))
    assert list(line_file.parent.glob("race-*")) == []
