from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import call
from thalweg import optim
from thalweg.tasks import load_task
from thalweg.train.lr_finder.finder import find_lr

MORE = """

def backwards():
    return task().replace(cost=lambda outputs, targets: -((outputs - targets) ** 2).mean(), target=None)

def flat():
    return task().replace(cost=lambda outputs, targets: 0 * outputs.mean() + 1, target=None)

def spoilt():
    def model():
        made = nn.Linear(1, 1)
        nn.init.constant_(made.weight, float("nan"))
        return made
    return task().replace(model=model)

def odd():
    return task().replace(name="../a/b c")
"""


@pytest.fixture
def tasks(line_file: Path) -> Path:
    line_file.write_text(line_file.read_text() + MORE)
    return line_file


def test_the_suggestion_a_plot_and_a_picture(tasks: Path) -> None:
    result = call("lr", "line.py", "-o", "nesterov")
    assert result.exit_code == 0

    def nesterov(parameters: object, lr: float) -> optim.SGD:
        return optim.SGD(parameters, lr, momentum=0.9, nesterov=True)  # type: ignore[arg-type]

    test = find_lr(load_task("line.py"), nesterov)
    assert f"nesterov on line: lr {test.suggestion:g}" in result.stdout.splitlines()
    assert f"▲ lr {test.suggestion:g}" in result.stdout
    assert test.reason in result.stdout
    assert "█" in result.stdout
    assert result.stderr.splitlines() == ["Picture: lr-line.html"]
    page = (tasks.parent / "lr-line.html").read_text(encoding="utf-8")
    assert f"<h1>Learning rate {test.suggestion:g}</h1>" in page


def test_json_is_what_find_lr_gives(tasks: Path) -> None:
    options = ("--lowest", "1e-5", "--highest", "2", "--steps", "30", "--seeds", "2", "--seed", "7")
    result = call(
        "lr", "line.py", "-o", "adam", *options, "--batch-size", "16", "--json", "--out", "p/a.html"
    )
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    test = find_lr(
        load_task("line.py"), optim.Adam,
        lowest=1e-5, highest=2, steps=30, seeds=2, seed=7, batch_size=16,
    )  # fmt: skip
    expected = json.loads(json.dumps(test.to_dict()))
    assert document == {**expected, "optimizer": "adam"}
    assert document["schema"] == "thalweg.range_test/1"
    assert len(document["sweeps"][1]["losses"]) > 9
    assert (tasks.parent / "p" / "a.html").exists()
    assert not (tasks.parent / "lr-line.html").exists()


@pytest.mark.parametrize("function", ["flat", "backwards"])
def test_a_loss_that_never_falls_is_a_failure_that_is_shown(tasks: Path, function: str) -> None:
    arguments = ("lr", f"line.py:{function}", "-o", "sgd", "--highest", "1e-7", "--lowest", "1e-9")
    result = call(*arguments)
    assert result.exit_code == 1
    assert "sgd on line: no suggestion" in result.stdout
    assert "never falls clearly" in result.stdout
    page = (tasks.parent / "lr-line.html").read_text(encoding="utf-8")
    assert "<h1>No learning rate to suggest</h1>" in page
    document = json.loads(call(*arguments, "--json").stdout)
    assert document["suggestion"] is None


def test_a_loss_that_is_not_finite_before_any_step(tasks: Path) -> None:
    result = call("lr", "line.py:spoilt")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: The loss is nan before any step" in result.stderr
    assert "not in the learning rate" in result.stderr
    assert not (tasks.parent / "lr-line.html").exists()


def test_a_name_that_no_file_can_have(tasks: Path) -> None:
    assert call("lr", "line.py:odd", "-o", "sgd", "--seeds", "1", "--steps", "20").exit_code in (
        0,
        1,
    )
    assert [path.name for path in tasks.parent.glob("*.html")] == ["lr-..-a-b-c.html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digitz",), "Did you mean 'digits'"),
        (("line.py", "--optimizer", "adma"), "No optimizer is called 'adma'. Did you mean"),
        (("line.py", "--lowest", "2", "--highest", "1"), "got lowest 2 and highest 1"),
        (("line.py", "--lowest", "0"), "lowest must be a learning rate, a positive number"),
        (("line.py", "--highest", "nan"), "highest must be a learning rate"),
        (("line.py", "--steps", "3"), "steps must be an integer ≥ 10"),
        (("line.py", "--seeds", "0"), "seeds must be an integer ≥ 1"),
        (("line.py", "--batch-size=-1"), "batch_size"),
        (("line.py", "-o", "adam+cosine"), "name the optimizer without +cosine"),
        (("line.py", "--out", "a.png"), "a file that ends in .html; got a.png"),
        (("line.py:broken",), "error: "),
    ],
)
def test_wrong_input_is_said_without_a_traceback(
    tasks: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call("lr", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stdout == ""
    assert list(tasks.parent.glob("*.html")) == []


def test_ctrl_c_is_130(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thalweg.train.lr_finder.finder.sweep", interrupted)
    result = call("lr", "line.py")
    assert (result.exit_code, result.stdout) == (130, "")
    assert "Interrupted" in result.stderr
