from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.commands import call
from thalweg import optim
from thalweg.schedules import cosine
from thalweg.tasks import load_task
from thalweg.train import Recipe, fit, load_run


def test_history_and_final_metrics(line_file: Path) -> None:
    result = call("train", "line.py", "-o", "SGD", "--lr", "0.1", "--epochs", "30")
    assert result.exit_code == 0
    assert result.stderr.count("epoch ") == 30
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["train", "validation"]
    assert lines[-1].startswith("30 steps in ")
    assert "validation mse 0.05" in lines[-1]


def test_json_holds_what_fit_gives(line_file: Path) -> None:
    arguments = ("--lr", "0.1", "--epochs", "30", "--batch-size", "16", "--seed", "3")
    result = call("train", "line.py", "--optimizer", "nesterov", *arguments, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)

    def nesterov(parameters: object, lr: float) -> optim.SGD:
        return optim.SGD(parameters, lr, momentum=0.9, nesterov=True)  # type: ignore[arg-type]

    task = load_task(str(line_file))
    run = fit(task, nesterov, lr=0.1, epochs=30, batch_size=16, seed=3, progress=False)
    assert document["schema"] == "thalweg.train/1"
    assert (document["task"], document["optimizer"]) == ("line", "nesterov")
    assert document["steps"] == run.steps == 90
    assert document["results"]["validation"] == run.evaluate("validation").as_dict()
    assert document["reached"]["step"] == run.reached.step  # type: ignore[union-attr]
    columns = [epoch["validation_mse"] for epoch in document["history"]]
    assert columns == run.history.column("validation_mse")


@pytest.mark.parametrize("name", ["Lion", "adan", "ScheduleFreeAdamW", "Prodigy"])
def test_every_optimizer_can_be_named(line_file: Path, name: str) -> None:
    arguments = ("--epochs", "3", "--batch-size", "16", "--json")
    result = call("train", "line.py", "--optimizer", name, *arguments)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    kind = {made.lower(): getattr(optim, made) for made in optim.__all__}[name.lower()]
    run = fit(load_task(str(line_file)), kind, epochs=3, batch_size=16, progress=False)
    assert document["optimizer"] == name.lower()
    assert document["results"]["validation"] == run.evaluate("validation").as_dict()
    assert document["history"][-1]["validation_mse"] == document["results"]["validation"]["mse"]


def test_a_schedule_follows_a_plus_sign_and_ends_with_the_run(line_file: Path) -> None:
    arguments = ("--lr", "0.1", "--epochs", "4", "--batch-size", "16", "--json")
    result = call("train", "line.py", "-o", "Adam+cosine", *arguments)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    rate = cosine(0.1, steps=12)
    run = fit(
        load_task(str(line_file)), optim.Adam, lr=rate, epochs=4, batch_size=16, progress=False
    )
    assert document["optimizer"] == "adam+cosine"
    assert document["results"]["validation"] == run.evaluate("validation").as_dict()
    rates = [epoch["lr"] for epoch in document["history"]]
    assert rates == run.history.column("lr")
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.01


def test_zero_rows_in_a_batch_are_all_of_them(line_file: Path) -> None:
    arguments = ("train", "line.py", "-o", "sgd", "--lr", "0.1", "--epochs", "3", "--json")
    whole = json.loads(call(*arguments, "--batch-size", "0").stdout)
    assert whole["steps"] == 3
    assert whole["results"] == json.loads(call(*arguments, "--batch-size", "48").stdout)["results"]
    assert json.loads(call(*arguments, "--batch-size", "16").stdout)["steps"] == 9


def test_the_learning_rate_may_be_the_optimizers_own(line_file: Path) -> None:
    result = call("train", "line.py", "--epochs", "1", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["history"][0]["lr"] == 1e-3


def test_resume_goes_on_to_the_very_same_end(line_file: Path) -> None:
    def run(*arguments: str) -> dict[str, object]:
        result = call(
            "train", "line.py", "--lr", "0.05", "--batch-size", "16", *arguments, "--json"
        )
        assert result.exit_code == 0
        document: dict[str, object] = json.loads(result.stdout)
        return document

    whole = run("--epochs", "6")
    run("--epochs", "3", "--out", "kept")
    assert list((line_file.parent / "kept").iterdir()) != []
    resumed = run("--epochs", "6", "--out", "kept", "--resume")
    assert resumed["results"] == whole["results"]
    assert len(resumed["history"]) == 6  # type: ignore[arg-type]


def test_divergence_is_a_failure_with_its_cause(line_file: Path) -> None:
    arguments = ("train", "line.py", "-o", "sgd", "--lr", "1e30")
    result = call(*arguments)
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 1
    assert "at step" in result.stderr
    as_json = call(*arguments, "--json")
    assert as_json.exit_code == 1
    document = json.loads(as_json.stdout)
    assert document["stopped"] == "diverged"
    assert document["results"]["train"]["loss"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digitz",), "Did you mean 'digits'"),
        (("line.py", "--optimizer", "adma"), "No optimizer is called 'adma'. Did you mean"),
        (("line.py", "--lr=-1"), "positive number, got --lr -1"),
        (("line.py", "--lr", "nan"), "positive number"),
        (("line.py", "--epochs", "0"), "epochs"),
        (("line.py", "--batch-size=-1"), "batch_size"),
        (("line.py", "-o", "adam+cosine"), "The schedule of 'adam+cosine' needs a number as lr"),
        (("line.py", "-o", "adam+cosin", "--lr", "0.1"), "No schedule is called 'cosin'. Did you"),
        (("line.py", "-o", "adam+cosine", "--lr", "0.1", "--epochs", "0"), "epochs"),
        (("line.py", "-o", "adam+cosine", "--lr", "0.1", "--batch-size=-1"), "batch_size"),
        (("line.py", "--resume"), "--resume needs --out"),
        (("line.py", "--set", "weight_decay"), "--set expects NAME=VALUE"),
        (("line.py", "--set", "wd=1", "--set", "wd=2"), "gives 'wd' twice"),
        (("line.py", "--set", "weight_deacy=1"), "Did you mean 'weight_decay'"),
        (("line.py", "--accumulate", "0"), "accumulate must be an integer"),
        (("line.py", "--clip-norm", "0"), "clip_norm must be a number > 0"),
        (("line.py", "--autocast", "float16"), "float16 needs a loss scaler"),
        (("line.py", "--device", "cuda:77"), "The device 'cuda:77' cannot be used here"),
        (("line.py:taks",), "Did you mean 'task'"),
        (("line.py:broken",), "error: "),
    ],
)
def test_wrong_input_is_said_without_a_traceback(
    line_file: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call("train", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stdout == ""


def test_ctrl_c_prints_what_was_trained_and_is_130(
    line_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = {"at": 3}

    class Interrupting(optim.SGD):
        def step(self, closure: object = None) -> object:
            stops["at"] -= 1
            if stops["at"] == 0:
                raise KeyboardInterrupt
            return super().step(closure)  # type: ignore[call-overload]

    monkeypatch.setattr("thalweg.optim.SGD", Interrupting)
    result = call("train", "line.py", "-o", "sgd", "--lr", "0.1", "--epochs", "9", "--json")
    assert result.exit_code == 130
    document = json.loads(result.stdout)
    assert (document["stopped"], len(document["history"])) == ("interrupted", 2)


def test_an_existing_checkpoint_is_not_overwritten(line_file: Path) -> None:
    arguments = ("train", "line.py", "--epochs", "2", "--out", "kept")
    assert call(*arguments).exit_code == 0
    again = call(*arguments)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "already holds a run. Give another one, go on with it (--resume)" in again.stderr
    on_a_file = call("train", "line.py", "--epochs", "2", "--out", "line.py")
    assert (on_a_file.exit_code, on_a_file.stdout) == (2, "")
    assert "line.py is to be the folder of a run, and is a file." in on_a_file.stderr


def test_resuming_where_no_run_is_says_so(line_file: Path) -> None:
    call("train", "line.py", "--epochs", "1", "--out", "runs/kept")
    for out, said in (
        ("runs/kpet", "There is no run at runs/kpet to go on with. Did you mean 'kept'?"),
        ("runs/other", "runs holds the runs kept."),
        (".", "The folder . holds no run to go on with, but line.py, runs."),
        ("line.py", "line.py is to be the folder of a run, and is a file"),
    ):
        result = call("train", "line.py", "--epochs", "2", "--out", out, "--resume")
        assert (result.exit_code, result.stdout) == (2, "")
        assert said in " ".join(result.stderr.split())
    assert sorted(each.name for each in line_file.parent.glob("*")) == ["line.py", "runs"]
    assert [each.name for each in Path("runs").iterdir()] == ["kept"]


@pytest.mark.parametrize("left", [(), ("run.json",), (".checkpoint.safetensors.part",)])
def test_a_run_killed_before_its_first_checkpoint_goes_on(
    line_file: Path, left: tuple[str, ...]
) -> None:
    kept = line_file.parent / "kept"
    call("train", "line.py", "--epochs", "1", "--out", "kept")
    for file in kept.iterdir():
        if file.name not in left:
            file.unlink()
    if left and not (kept / left[0]).exists():
        (kept / left[0]).write_bytes(b"torn")  # as a killed process leaves what it was writing
    result = call("train", "line.py", "--epochs", "1", "--out", "kept", "--resume")
    assert result.exit_code == 0, result.stderr
    assert len(load_run("kept").history) == 1


@pytest.mark.parametrize("epochs", ["1", "2"])
def test_resuming_what_is_finished_says_so(line_file: Path, epochs: str) -> None:
    call("train", "line.py", "--epochs", "2", "--out", "kept")
    again = call("train", "line.py", "--epochs", epochs, "--out", "kept", "--resume")
    assert again.exit_code == 0
    assert "the checkpoint already holds 2 epochs; nothing to train" in again.stderr


def test_a_small_model_trains_on_one_thread(
    line_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(recipe: Recipe, **settings: Any) -> object:
        seen.append(torch.get_num_threads())
        return trained(recipe, **settings)

    trained = Recipe.fit
    monkeypatch.setattr(Recipe, "fit", watched)
    torch.set_num_threads(2)
    assert call("train", "line.py", "--epochs", "1").exit_code == 0
    assert (seen, torch.get_num_threads()) == ([1], 2)


def test_every_run_is_kept_in_a_folder_of_its_own(line_file: Path) -> None:
    arguments = ("train", "line.py", "-o", "Adam", "--epochs", "2", "--set", "betas=0.8,0.9")
    first, second = call(*arguments), call(*arguments, "--json")
    assert "Run: runs/line-adam-1" in first.stderr
    assert json.loads(second.stdout)["folder"] == "runs/line-adam-2"
    saved = load_run("runs/line-adam-2")
    assert saved.record["recipe"]["hyperparameters"] == {"betas": [0.8, 0.9]}
    assert saved.record["results"] == json.loads(second.stdout)["results"]
    assert saved.evaluate("validation").as_dict() == saved.record["results"]["validation"]
    assert sorted(file.name for file in saved.folder.iterdir()) == [
        "checkpoint.safetensors",
        "history.jsonl",
        "model.safetensors",
        "run.json",
    ]


def test_settings_are_those_of_fit(line_file: Path) -> None:
    arguments = ("--lr", "0.1", "--epochs", "3", "--batch-size", "8", "--json")
    more = ("--set", "momentum=0.5", "--set", "nesterov=true", "--accumulate", "2")
    result = call("train", "line.py", "-o", "sgd", *arguments, *more, "--clip-norm", "0.2")
    document = json.loads(result.stdout)
    run = fit(
        load_task(str(line_file)),
        "sgd",
        lr=0.1,
        epochs=3,
        batch_size=8,
        accumulate=2,
        clip_norm=0.2,
        momentum=0.5,
        nesterov=True,
        progress=False,
    )
    assert document["results"]["validation"] == run.evaluate("validation").as_dict()
    assert document["steps"] == run.steps


def test_what_never_trained_leaves_no_folder(line_file: Path) -> None:
    assert call("train", "line.py:broken").exit_code == 2
    assert not (line_file.parent / "runs").exists()


def test_a_diverged_run_is_kept_too(line_file: Path) -> None:
    assert call("train", "line.py", "-o", "sgd", "--lr", "1e30").exit_code == 1
    assert load_run("runs/line-sgd-1").state == "diverged"
