from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.cli.commands import call
from tests.fresh import Fresh
from thalweg import cli, optim, rules, schedules
from thalweg.cli import explain, lab, listing, lr, race, train
from thalweg.tasks import list_tasks
from thalweg.version import __version__


def test_version() -> None:
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"thalweg {__version__}\n")


def test_module_and_command_are_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"thalweg {__version__}\n"


UNREAD = """
import os
from thalweg.cli import main

reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(reader)
main()
"""


def test_a_reader_that_leaves_early_is_no_error(fresh: Fresh) -> None:
    done = fresh.run(UNREAD, "explain", "lion")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("verb", "module"),
    [
        ("race", race),
        ("train", train),
        ("lr", lr),
        ("lab", lab),
        ("explain", explain),
        ("list", listing),
    ],
)
def test_help_has_examples_that_are_real_commands(verb: str, module: object) -> None:
    result = call(verb, "--help")
    assert result.exit_code == 0
    examples: tuple[str, ...] = module.EXAMPLES  # type: ignore[attr-defined]
    assert len(examples) >= 2
    for example in examples:
        assert example in result.stdout
        assert example.startswith(f"thalweg {verb}")
        options = [word for word in example.split() if word.startswith("--")]
        assert all(option in result.stdout for option in options)


def test_no_help_shows_the_default_of_a_switch() -> None:
    """What `--no-layers` says is the negative of the default, which would be shown beside it."""
    for command in cli.app.app.registered_commands:
        said = call(str(command.name), "--help").stdout
        assert not re.search(r"\[default:\s*\(?(True|False|None)", said), command.name


def test_help_without_a_command_names_all() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for word in ("race", "train", "lr", "explain", "list", "Examples"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rcae",), "No such command 'rcae'. Did you mean 'race'? `thalweg --help` shows"),
        (("train",), "thalweg train needs TASK, and none is given. `thalweg train --help` shows"),
        (("train", "digits", "--epochs", "many"), "--epochs: expected a whole number, got 'many'."),
        (("train", "digits", "--lr", "x"), "--lr: expected a number, got 'x'."),
        (("train", "digits", "--epochs"), "--epochs needs a value, and none is given."),
        (("train", "digits", "--epoch", "3"), "has no option --epoch. Did you mean '--epochs'?"),
        (("train", "digits", "--out", ""), "--out: A path is expected, got an empty text."),
        (("train", "digits", "more"), "unexpected extra argument"),
        (
            ("init", "digits", "--epochs", "-1"),
            "--epochs: expected a value greater than or equal to 0, got",
        ),
        (
            ("lab", "pca", "--seed", "-1"),
            "--seed: A seed is a whole number from 0 to 2⁶³ − 1; got '-1'.",
        ),
        (
            ("movie", "bowl", "--seed", "9223372036854775808"),
            "--seed: A seed is a whole number from 0 to 2⁶³ − 1; got '9223372036854775808'.",
        ),
        (("race", "digits", "--stack=3"), "'--stack' does not take a value."),
        (("--nonsense",), "thalweg has no option --nonsense."),
    ],
)
def test_wrong_usage_is_said_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "--help` shows how it is used." in result.stderr
    assert result.stdout == ""


def test_list() -> None:
    result = call("list")
    assert result.exit_code == 0
    for word in (*list_tasks(), "Adam ", "nesterov", "Nesterov", "bytes", "passes"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("kind", "names", "words"),
    [
        ("tasks", list(list_tasks()), ["Handwritten digits"]),
        ("optimizers", [*optim.__all__, "momentum", "nesterov"], ["The sign of a momentum"]),
        ("rules", rules.__all__, ["Clip every element"]),
        ("schedules", schedules.__all__, ["Half a cosine"]),
        ("wrappers", ["SAM", "ASAM", "Accumulate", "NonFinite"], ["Steps once in k calls"]),
    ],
)
def test_list_of_a_kind(kind: str, names: list[str], words: list[str]) -> None:
    result = call("list", kind)
    assert result.exit_code == 0
    first = {line.split()[0] for line in result.stdout.splitlines() if line[:2].strip()}
    first |= {line.split()[0] for line in result.stdout.splitlines() if line.strip()}
    assert set(names) - {"Optimizer", "Schedule"} <= first
    assert all(word in " ".join(result.stdout.split()) for word in words)
    assert call("list", kind.removesuffix("s")).stdout == result.stdout
    document = json.loads(call("list", kind, "--json").stdout)
    assert list(document) == [kind]
    listed = {row["name"].lower() for row in document[kind]}
    assert listed == {name.lower() for name in names} - {"optimizer", "schedule"}
    assert all(row["description"] for row in document[kind])


def test_the_list_of_strategies_says_which_a_text_names() -> None:
    rows = {
        row["name"]: row
        for row in json.loads(call("list", "strategies", "--json").stdout)["strategies"]
    }
    assert len(rows) == 11
    assert (rows["curriculum"]["by_name"], rows["freezing"]["by_name"]) == (True, False)
    assert rows["stochastic_depth"]["settings"] == ["branches", "survival"]
    assert "file.py:name" in call("list", "strategy").stdout


def test_the_list_of_optimizers_has_their_cost() -> None:
    rows = {row["name"]: row for row in json.loads(call("list", "--json").stdout)["optimizers"]}
    figures = {
        name: (row["class"], row["state_bytes_per_parameter"], row["passes"])
        for name, row in rows.items()
        if "passes" in row  # a solver's step is not a program of passes
    }
    assert figures["adam"] == ("Adam", 8, 1)
    assert figures["sgd"] == ("SGD", 0, 1)
    assert figures["momentum"] == ("SGD", 4, 1)
    assert figures["prodigy"] == ("Prodigy", 16, 2)
    assert re.search(r"^ ?Prodigy .* 16 +2 *$", call("list", "optimizers").stdout, re.MULTILINE)


def test_list_of_something_else() -> None:
    result = call("list", "optimisers")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no list of 'optimisers'. Did you mean 'optimizers'? There are: tasks," in result.stderr


def test_list_json() -> None:
    document = json.loads(call("list", "--json").stdout)
    assert [task["name"] for task in document["tasks"]] == list(list_tasks())
    by_name = {optimizer["name"]: optimizer for optimizer in document["optimizers"]}
    assert by_name["adam"]["raced_by_default"] is True
    assert by_name["adamw"]["raced_by_default"] is False
    assert all(optimizer["description"] for optimizer in by_name.values())


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_package_is_said(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as exit:
        cli.main(["--version"])
    assert exit.value.code == 2
    assert f"{package!r}, which is not installed" in capsys.readouterr().err


def test_an_unexpected_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise ZeroDivisionError("a defect of ours")

    monkeypatch.setattr("thalweg.tasks.list_tasks", raises)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        call("list")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 164. GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 164 GB"),
    ],
)
def test_too_little_memory_is_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise error

    monkeypatch.setattr("thalweg.tasks.list_tasks", raises)
    result = call("list")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: There is not enough memory: ")
    assert result.stderr.count("\n") == 1


def test_ctrl_c_anywhere_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thalweg.tasks.list_tasks", raises)
    result = call("list")
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
