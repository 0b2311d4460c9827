"""`thalweg runs` and `thalweg predict`: what is on disk, listed and used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import call, flat
from tests.exact import same
from thalweg.tasks import load_task
from thalweg.tasks.sources.source import ArraySource
from thalweg.train import fit, load_run
from thalweg.train.folder.writing import free_folder


@pytest.fixture
def two_runs(line_file: Path) -> Path:
    """Two runs of three epochs: runs/line-adam-1 and runs/line-sgd-1."""
    for optimizer in ("adam", "sgd"):
        arguments = ("--lr", "0.1", "--epochs", "3", "--batch-size", "16")
        assert call("train", "line.py", "-o", optimizer, *arguments).exit_code == 0
    return line_file.parent


def test_runs_are_listed_with_their_last_figures(two_runs: Path) -> None:
    document = json.loads(call("runs", "--json").stdout)
    assert document["schema"] == "thalweg.runs/1"
    adam, sgd = document["runs"]
    assert (adam["name"], adam["task"], adam["optimizer"]) == ("line-adam-1", "line", "adam")
    assert (sgd["lr"], sgd["epochs"], sgd["ended"]) == (0.1, 3, "epochs")
    assert sgd["loss"] == load_run("runs/line-sgd-1").history[-1].validation.loss  # type: ignore[union-attr]
    lines = call("runs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "line-adam-1", "line-sgd-1"]


def test_a_folder_without_runs_says_how_to_make_one(line_file: Path) -> None:
    assert "thalweg train TASK makes one" in call("runs").stdout
    assert json.loads(call("runs", "--json").stdout)["runs"] == []


def test_a_killed_run_is_listed_as_one(two_runs: Path) -> None:
    record = Path("runs/line-sgd-1/run.json")
    document = json.loads(record.read_text())
    document = {k: v for k, v in document.items() if k not in ("stopped", "results")}
    record.write_text(json.dumps(document | {"status": "running"}))
    rows = json.loads(call("runs", "list", "line-sgd-1", "--json").stdout)["runs"]
    assert [row["ended"] for row in rows] == ["running or killed"]


def test_a_run_that_cannot_be_read_hides_no_other(two_runs: Path) -> None:
    Path("runs/line-sgd-1/run.json").write_text("{")
    result = call("runs", "--json")
    assert [row["name"] for row in json.loads(result.stdout)["runs"]] == ["line-adam-1"]
    assert "Left out" in result.stderr
    assert "line-sgd-1" in result.stderr


def test_comparing_shows_what_differs(two_runs: Path) -> None:
    document = json.loads(call("runs", "compare", "--json").stdout)
    assert {"optimizer", "loss", "mse"} == set(document["differ"])
    drawn = call("runs", "compare", "line-adam-1", "runs/line-sgd-1", "--out", "both.html")
    assert drawn.exit_code == 0
    assert "Picture: both.html" in drawn.stderr
    assert "const pointing =" in Path("both.html").read_text(encoding="utf-8")


def test_a_page_is_drawn_into_the_folder(two_runs: Path) -> None:
    result = call("runs", "open", "line-adam-1")
    assert "Page: runs/line-adam-1/report.html" in result.stderr
    page = Path("runs/line-adam-1/report.html").read_text()
    assert "<h1>line, adam</h1>" in page
    assert "default-src 'none'" in page


def test_a_run_is_gone_on_with_to_the_very_same_end(two_runs: Path) -> None:
    result = call("runs", "resume", "line-adam-1", "--epochs", "5", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    task = load_task("line.py")
    run = fit(task, "adam", lr=0.1, epochs=5, batch_size=16, progress=False)
    assert document["results"]["validation"] == run.evaluate("validation").as_dict()
    assert load_run("runs/line-adam-1").epochs == 5


def test_a_run_made_in_python_is_gone_on_with_there(line_file: Path) -> None:
    import torch

    fit(load_task("line.py"), torch.optim.SGD, epochs=1, progress=False).save("runs/mine")
    result = call("runs", "resume", "mine", "--epochs", "5")
    assert result.exit_code == 2
    assert "was made in Python, and its record holds optimizer in words alone" in result.stderr


def test_a_schedule_that_has_ended_is_not_drawn_longer(line_file: Path) -> None:
    call("train", "line.py", "-o", "adam+cosine", "--lr", "0.1", "--epochs", "2")
    result = call("runs", "resume", "line-adam+cosine-1", "--epochs", "4")
    assert result.exit_code == 2
    assert "spans the 2 epochs" in result.stderr.replace("\n", " ")


def test_only_what_a_run_wrote_is_removed(two_runs: Path) -> None:
    note = Path("runs/line-adam-1/notes.txt")
    note.write_text("mine")
    result = call("runs", "remove", "line-adam-1", "line-sgd-1")
    assert "kept what is not the run's: notes.txt" in result.stderr
    assert note.read_text() == "mine"
    assert [path.name for path in Path("runs").iterdir()] == ["line-adam-1"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("opn",), 2, "Did you mean 'open'"),
        (("open",), 2, "open takes one run"),
        (("remove",), 2, "remove takes the names"),
        (("compare", "line-adam-1"), 2, "at least two"),
        (("open", "line-adm-1"), 2, "Did you mean 'line-adam-1'"),
        (("open", "line-adam-1", "--out", "x.png"), 2, "ends in .html"),
    ],
)
def test_wrong_input_to_runs(
    two_runs: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = call("runs", *arguments)
    assert result.exit_code == code
    assert words in result.stderr.replace("\n", " ")


def test_folders_have_the_next_free_number(tmp_path: Path) -> None:
    names = [free_folder(tmp_path, "a:b/c").name for _ in range(2)]
    assert names == ["a-b-c-1", "a-b-c-2"]


@pytest.mark.parametrize("ending", ["npz", "npy", "csv"])
def test_predictions_are_those_of_python(two_runs: Path, ending: str) -> None:
    x = np.linspace(-1, 1, 5, dtype="float32")[:, None]
    file = Path(f"new.{ending}")
    if ending == "npz":
        np.savez(file, x=x, other=x)
    elif ending == "npy":
        np.save(file, x)
    else:
        lines = "".join(f"{i},{float(v)!r}\n" for i, v in enumerate(x[:, 0]))
        file.write_text(f"id,value\n{lines}")
    more = ("--columns", "value") if ending == "csv" else ()
    printed = call("predict", "runs/line-adam-1", file.name, *more)
    assert printed.exit_code == 0
    said = load_run("runs/line-adam-1").predict(x)
    lines = np.array([float(line) for line in printed.stdout.split()], dtype=said.dtype)
    same(lines, said[:, 0], because="as text a float has all of its digits")
    for out in ("said.npz", "said.npy", "said.csv"):
        assert call("predict", "runs/line-adam-1", file.name, *more, "--out", out).exit_code == 0
    with np.load("said.npz") as held:
        for written in (held["predictions"], np.load("said.npy")):
            same(written, said, because="the bits were written and read")
    assert Path("said.csv").read_text() == printed.stdout


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        ("a,b\n1,2\n", (), "expects inputs of shape (rows, 1)"),
        ("a\n1\n2,3\n", (), "row 3: expected 1 fields, got 2"),
        ("a\nx\n", (), "could not convert"),
        ("a\n", (), "no rows"),
        ("", (), "no rows"),
        ("a\n1\n", ("--columns", "b"), "has no column 'b'"),
        ("1\n2\n", ("--columns", "b"), "no line of names"),
        ("1\n", ("--array", "x"), "Only a .npz"),
        ("1\n", ("--output", "logits"), "--output must be raw, probability or class"),
        ("1\n", ("--output", "class"), "outputs are not classes"),
        ("1\n", ("--out", "x.txt"), "--out must be a file .npz"),
    ],
)
def test_rows_that_cannot_be_read(
    two_runs: Path, content: str, arguments: tuple[str, ...], words: str
) -> None:
    Path("new.csv").write_text(content)
    result = call("predict", "runs/line-adam-1", "new.csv", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_arrays_of_objects_are_not_unpickled(two_runs: Path) -> None:
    np.save("new.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    result = call("predict", "runs/line-adam-1", "new.npy")
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
    np.savez("new.npz", a=np.zeros((1, 1)), b=np.zeros((1, 1)))
    result = call("predict", "runs/line-adam-1", "new.npz")
    assert "has no array 'x'" in result.stderr
    assert call("predict", "runs/line-adam-1", "new.npz", "--array", "b").exit_code == 0


def test_the_rows_of_a_set_of_the_task(two_runs: Path) -> None:
    result = call("predict", "line-adam-1", "validation")
    assert result.exit_code == 0, result.stderr
    saved = load_run("runs/line-adam-1")
    said = saved.predict("validation")
    lines = np.array([float(line) for line in result.stdout.split()], dtype=said.dtype)
    same(lines, said[:, 0], because="as text a float has all of its digits")
    source = saved.task.data.validation
    assert isinstance(source, ArraySource)
    same(said, saved.predict(source.inputs).numpy(), because="the same model on the same rows")
    missing = call("predict", "line-adam-1", "test")
    assert missing.exit_code == 2
    assert "no test set" in missing.stderr
    assert "apply to files" in call("predict", "line-adam-1", "train", "--array", "x").stderr


def test_predict_takes_the_name_that_runs_shows(two_runs: Path) -> None:
    np.save("new.npy", np.zeros((2, 1), dtype="float32"))
    by_name = call("predict", "line-adam-1", "new.npy")
    assert by_name.exit_code == 0
    assert by_name.stdout == call("predict", "runs/line-adam-1", "new.npy").stdout


def test_a_file_that_is_no_array_of_numbers_is_told_without_advice_to_unpickle(
    two_runs: Path,
) -> None:
    Path("text.npy").write_text("hello")
    refused = call("predict", "line-adam-1", "text.npy")
    assert refused.exit_code == 2
    assert "text.npy cannot be read as arrays of numbers" in flat(refused.stderr)
    assert "pickle" not in refused.stderr


def test_a_run_is_named_once(two_runs: Path) -> None:
    for command in ("runs compare", "runs remove", "landscape"):
        refused = call(*command.split(), "line-adam-1", "line-adam-1")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "The run 'line-adam-1' is named twice" in refused.stderr
    assert Path("runs/line-adam-1/run.json").is_file()


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "line-adam-9", "new.npy"),
        ("runs", "open", "line-adam-9"),
        ("runs", "resume", "line-adam-9"),
        ("landscape", "line-adam-9"),
    ],
)
def test_a_run_that_is_not_there_is_wrong_input(two_runs: Path, command: tuple[str, ...]) -> None:
    refused = call(*command)
    assert refused.exit_code == 2
    assert "There is no run 'line-adam-9'" in refused.stderr
    assert "Did you mean 'line-adam-1'" in refused.stderr
