"""What a run leaves in its folder, and what is read from it."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.exact import same
from tests.train.helpers import blobs, quiet, weights
from thalweg import optim
from thalweg.errors import CheckpointError, TaskError
from thalweg.schedules import cosine
from thalweg.tasks import Task, load_task
from thalweg.tasks.by_name.spec import spec_text
from thalweg.train import Checkpoint, EarlyStopping, RunFolder, find_runs, fit, load_run

SAVED = "the bits were written and read"


def measured(run: Any) -> dict[str, Any]:
    return {
        "history": [(e.epoch, e.step, e.seconds, e.lr, e.as_dict()) for e in run.history],
        "evaluations": run.evaluations,
    }


def test_a_saved_run_comes_back(tmp_path: Path) -> None:
    run = quiet(blobs(), "adam", epochs=3, weight_decay=0.1, evaluate_every=2)
    folder = run.save(tmp_path / "run")
    saved = load_run(folder, task=blobs())
    assert measured(saved) == measured(run)
    assert (saved.state, saved.task_name, saved.optimizer_name) == ("epochs", "blobs", "adam")
    assert saved.record["recipe"]["hyperparameters"] == {"weight_decay": 0.1}
    assert saved.record["recipe"]["seed"] == 0
    assert saved.record["task"]["rows"] == {"train": 35, "validation": 10, "test": 5}
    assert saved.record["versions"]["torch"] == torch.__version__
    assert (saved.record["steps"], saved.record["best"]) == (run.steps, run.best.epoch)  # type: ignore[union-attr]
    same(dict(saved.model.state_dict()), weights(run), because=SAVED)
    x = np.zeros((4, 2))
    same(saved.predict(x), run.predict(x), because=SAVED)
    assert saved.evaluate("test") == run.evaluate("test")
    assert not saved.model.training


def test_a_folder_written_while_training_is_the_saved_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run = quiet(blobs(), epochs=3, evaluate_every=2, callbacks=[folder])
    folder.finish(run)
    other = run.save(tmp_path / "other")
    lines = (tmp_path / "run" / "history.jsonl").read_text()
    assert lines == (other / "history.jsonl").read_text()
    kinds = [json.loads(line)["kind"] for line in lines.splitlines()]
    assert kinds == [*["evaluation"] * 3, "epoch"] * 3
    begun, saved = (json.loads((f / "run.json").read_text()) for f in (tmp_path / "run", other))
    assert begun | {"started": 0} == saved | {"started": 0}
    assert sorted(f.name for f in other.iterdir()) == [
        "history.jsonl",
        "model.safetensors",
        "run.json",
    ]


def test_nothing_finished_is_lost_where_training_stops(tmp_path: Path) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def stop(training: Any) -> None:
        if training.step == 12:
            raise Stop

    from tests.train.test_callbacks import At

    with pytest.raises(TaskError):
        quiet(blobs(), epochs=5, callbacks=[RunFolder(tmp_path), At("step", stop)])
    saved = load_run(tmp_path, blobs())
    assert (saved.state, saved.epochs) == ("running or killed", 2)
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors: the run has not ended"):
        _ = saved.model


def test_a_resumed_run_goes_on_in_its_folder(tmp_path: Path) -> None:
    quiet(blobs(), epochs=2, callbacks=[RunFolder(tmp_path), Checkpoint(tmp_path)])
    # a line of an epoch that the checkpoint does not hold, and one that a kill has torn
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write(file.name and (tmp_path / "history.jsonl").read_text().splitlines()[-1] + "\n{")
    folder = RunFolder(tmp_path, resume=True)
    run = quiet(blobs(), epochs=4, callbacks=[folder, Checkpoint(tmp_path, resume=True)])
    folder.finish(run)
    assert measured(load_run(tmp_path)) == measured(run)


def test_no_run_is_written_over(tmp_path: Path) -> None:
    run = quiet(blobs(), epochs=1)
    run.save(tmp_path / "a")
    for again in (lambda: run.save(tmp_path / "a"), lambda: RunFolder(tmp_path / "a")):
        with pytest.raises(CheckpointError, match="already holds a run"):
            again()
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="is a file"):
        run.save(tmp_path / "file")


def test_figures_that_are_not_finite_come_back(tmp_path: Path) -> None:
    task = blobs(cost="cross_entropy")
    run = quiet(task, "lbfgs", lr=1.0, epochs=1, batch_size=None)
    object.__setattr__(run.history[0].train, "loss", math.nan)
    saved = load_run(run.save(tmp_path / "a"))
    assert math.isnan(saved.history[0].train.loss)
    assert "NaN" not in (tmp_path / "a" / "history.jsonl").read_text()


@pytest.mark.parametrize(
    ("settings", "name", "words"),
    [
        ({"optimizer": torch.optim.SGD, "momentum": 0.9}, "SGD", {"momentum": 0.9}),
        (
            {"optimizer": functools.partial(optim.Adam, betas=(0.8, 0.9))},
            "Adam",
            {"betas": [0.8, 0.9]},
        ),
        ({"optimizer": "adam", "lr": cosine(0.1, steps=9)}, "adam", {}),
        ({"optimizer": lambda p, lr: torch.optim.SGD(p, lr)}, "<lambda>", {}),
        ({"optimizer": "adam", "early_stopping": EarlyStopping(patience=2)}, "adam", {}),
    ],
)
def test_every_recipe_can_be_written_down(
    tmp_path: Path, settings: dict[str, Any], name: str, words: Any
) -> None:
    run = quiet(blobs(), epochs=1, **settings)
    record = load_run(run.save(tmp_path / "a")).record
    assert (record["recipe"]["optimizer"], record["recipe"]["hyperparameters"]) == (name, words)
    assert record["recipe"]["by_name"] == isinstance(settings["optimizer"], str)


def test_the_task_is_loaded_again_by_its_text(tmp_path: Path) -> None:
    task = load_task("parity:bits=4", relevant=2)
    assert task.spec == "parity:bits=4,relevant=2"
    run = fit(task, "adam", epochs=1, progress=False)
    saved = load_run(run.save(tmp_path / "a"))
    assert saved.task.name == task.name
    assert saved.evaluate("train") == run.evaluate("train")


def test_a_task_made_in_python_has_to_be_given(tmp_path: Path) -> None:
    folder = quiet(blobs(), epochs=1).save(tmp_path / "a")
    with pytest.raises(TaskError, match=r"made in Python.*task=…"):
        _ = load_run(folder).task
    other = blobs(model=lambda: nn.Linear(2, 3).double())
    with pytest.raises(CheckpointError, match="do not fit the model of task 'blobs'"):
        _ = load_run(folder, other).model


def test_a_part_that_is_exchanged_is_no_longer_the_text_s() -> None:
    task = load_task("digits")
    assert task.spec == "digits"
    assert task.replace(epochs=3).spec == "digits"
    assert task.replace(model=nn.Linear(64, 10)).spec is None


def test_texts_of_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch, thalweg\n"
        "def task(width: int = 3):\n"
        "    x = torch.zeros(4, 2)\n"
        "    return thalweg.Task((x, x), 'mse', lambda: torch.nn.Linear(2, 2))\n"
        "make = task\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load_task("mine.py").spec == str(tmp_path / "mine.py")
    assert load_task("mine.py:make:width=4").spec == f"{tmp_path / 'mine.py'}:make:width=4"
    assert load_task("mine.py", width=4).spec == f"{tmp_path / 'mine.py'}:width=4"
    for text in ("mine.py", "mine.py:make:width=4"):
        again: Any = load_task(text).spec
        assert load_task(again).spec == again
    from thalweg.tasks.by_name.spec import Spec

    assert spec_text(Spec("digits", "", {}), {"data": object()}) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no run"),
        ("", "unreadable"),
        ("[" * 100_000, "unreadable"),
        ('{"schema": "thalweg.run/9"}', "has the schema 'thalweg.run/9'"),
        ('{"schema": "thalweg.run/1", "status": 3}', "lacks 'status'"),
        ("[1]", "has the schema 'list'"),
    ],
)
def test_a_record_that_is_none_is_unreadable(
    tmp_path: Path, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(CheckpointError, match=words):
        load_run(tmp_path)


@pytest.mark.parametrize("damage", ["torn", "other", "text"])
def test_damaged_weights_are_refused(tmp_path: Path, damage: str) -> None:
    folder = quiet(blobs(), epochs=1).save(tmp_path / "a")
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes({"torn": content[:-9], "other": b"", "text": b"{}" * 99}[damage])
    with pytest.raises(CheckpointError, match="do not fit the model"):
        _ = load_run(folder, blobs()).model


def test_weights_are_plain_safetensors_with_tied_ones_twice(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 3)).double()
        net[1].weight = net[0].weight
        return net

    run = quiet(blobs(model=tied), epochs=1)
    stored = load_file(run.save(tmp_path / "a") / "model.safetensors")
    same(stored, weights(run), because=SAVED)
    same(
        dict(load_run(tmp_path / "a", blobs(model=tied)).model.state_dict()), stored, because=SAVED
    )


def test_runs_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    run = quiet(blobs(), epochs=1)
    for name in ("a-10", "a-9", "b-1"):
        run.save(tmp_path / name)
    (tmp_path / "a-1").mkdir()
    assert [folder.name for folder in find_runs(tmp_path)] == ["a-9", "a-10", "b-1"]
    assert find_runs(tmp_path / "none") == []


def classifier(cost: str, outputs: int) -> Task:
    x = torch.linspace(-1, 1, 12)[:, None]
    y = (x > 0).float() if outputs == 1 else (x[:, 0] > 0).long()
    y = 2 * y - 1 if cost == "soft_margin_loss" else y
    model = nn.Linear(1, outputs)
    return Task((x, y), cost, model if cost != "bce" else nn.Sequential(model, nn.Sigmoid()))


@pytest.mark.parametrize(
    ("cost", "outputs"),
    [("cross_entropy", 2), ("bce_with_logits", 1), ("bce", 1), ("soft_margin_loss", 1)],
)
def test_predictions_as_classes_and_probabilities(cost: str, outputs: int) -> None:
    run = quiet(classifier(cost, outputs), torch.optim.SGD, lr=1.0, epochs=60)
    x = torch.tensor([[-0.9], [0.8]])
    raw, p, k = (run.predict(x, output) for output in ("raw", "probability", "class"))
    assert k.reshape(-1).tolist() == [0, 1]
    assert k.dtype == torch.int64
    if outputs == 2:
        torch.testing.assert_close(p, raw.softmax(1))
    else:
        torch.testing.assert_close(p, raw if cost == "bce" else raw.sigmoid())
        assert ((p > 0.5) == k).all()
    assert isinstance(run.predict(x.numpy(), "class"), np.ndarray)


def test_a_regression_has_no_classes() -> None:
    x = torch.linspace(-1, 1, 12)[:, None]
    run = quiet(Task((x, x), "mse", nn.Linear(1, 1)), epochs=1)
    with pytest.raises(TaskError, match="outputs are not classes"):
        run.predict(x, "class")
    with pytest.raises(TaskError, match="'raw', 'probability' or 'class'"):
        run.predict(x, "logits")
