from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.commands import call
from thalweg import cli
from thalweg.cli import listing, race, train
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


@pytest.mark.parametrize(("verb", "module"), [("race", race), ("train", train), ("list", listing)])
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


def test_help_without_a_command_names_all() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for word in ("race", "train", "list", "Examples"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rcae",), "Did you mean 'race'"),
        (("train",), "TASK"),
        (("train", "digits", "--epochs", "many"), "--epochs"),
        (("train", "digits", "--nonsense"), "--nonsense"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_list() -> None:
    result = call("list")
    assert result.exit_code == 0
    for word in (*list_tasks(), "adam", "nesterov", "Nesterov momentum"):
        assert word in result.stdout


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


def test_ctrl_c_anywhere_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thalweg.tasks.list_tasks", raises)
    result = call("list")
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
