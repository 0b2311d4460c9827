"""Optimizers of the user's own, file.py:name, in every command that takes an optimizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import call
from thalweg import fit, optim
from thalweg.errors import TaskError
from thalweg.race import Entrant
from thalweg.tasks import load_task
from thalweg.train import Recipe

OWN = """
import torch
from thalweg import chain, rule
from thalweg.race import Entrant
from thalweg.rules import decay

with open("runs-of-this-file", "a") as file:
    file.write("once ")

@rule
def mine(g, m, *, beta=0.9):
    m = beta * m + (1 - beta) * g
    return torch.sign(m), m

Link = mine(beta=0.8)
decayed = Entrant("with decay", chain(mine(), decay(0.1)), {"beta": 0.5}, schedule="cosine")
started = Entrant("started", mine, init="he")
number, text = 3, "adam"

def plain(parameters, lr=0.01):
    return torch.optim.SGD(parameters, lr=lr)
"""

COMMANDS = {
    "train": ("train", "line.py", "--lr", "0.1", "--epochs", "1"),
    "doctor": ("doctor", "line.py", "--lr", "0.1", "--epochs", "1", "--forks", "0"),
    "lr": ("lr", "line.py", "--seeds", "1", "--steps", "10"),
    "routes": ("routes", "line.py"),
    "curvature": ("curvature", "line.py", "--lr", "0.1"),
    "movie": ("movie", "bowl", "--steps", "5"),
}


@pytest.fixture
def own(line_file: Path) -> Path:
    path = line_file.parent / "own.py"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_an_optimizer_from_a_file(command: str, own: Path) -> None:
    result = call(*COMMANDS[command], "-o", "own.py:mine", "--json")
    assert result.exit_code in ((0, 3) if command == "doctor" else (0, 1)), result.stderr
    assert json.loads(result.stdout)["schema"].startswith("thalweg.")
    assert (own.parent / "runs-of-this-file").read_text() == "once "


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_a_file_has_not_is_one_line(command: str, own: Path) -> None:
    for name, words in {"mien": "Did you mean 'mine'", "number": "is 3; expected"}.items():
        result = call(*COMMANDS[command], "-o", f"own.py:{name}")
        assert result.exit_code == 2
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "called", "hyperparameters", "has_schedule"),
    [
        ("Link", "Link", {}, False),
        ("plain", "plain", {}, False),
        ("decayed", "decayed", {"beta": 0.5}, True),
        ("mine+cosine", "mine+cosine", {}, True),
    ],
)
def test_what_a_file_may_hold(
    name: str, called: str, hyperparameters: dict[str, float], has_schedule: bool, own: Path
) -> None:
    recipe = Recipe(load_task("line.py"), "own.py:" + name, lr=0.1)
    assert recipe.chosen.name == called
    assert recipe.chosen.hyperparameters == hyperparameters
    assert (recipe.chosen.schedule is not None) == has_schedule
    recipe.bind(recipe.task.build())


def test_an_entrant_with_a_start_is_no_optimizer_alone(own: Path) -> None:
    with pytest.raises(TaskError, match=r"'started' has init='he', which is no part"):
        Recipe(load_task("line.py"), "own.py:started", lr=0.1)


def test_fit_takes_an_entrant(own: Path) -> None:
    entrant = Entrant("mine", optim.SGD, {"momentum": 0.5})
    run = fit(load_task("line.py"), entrant, lr=0.1, epochs=1, nesterov=True, progress=False)
    group = run.optimizer.param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0.5, True)


def test_a_run_goes_on_from_another_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own.parent / "kept"
    arguments = ("train", "line.py", "-o", "own.py:Link", "--lr", "0.1", "--epochs", "1")
    assert call(*arguments, "--out", str(folder)).exit_code == 0
    (own.parent / "elsewhere").mkdir()
    monkeypatch.chdir(own.parent / "elsewhere")
    result = call("runs", "resume", str(folder), "--epochs", "2")
    assert result.exit_code == 0, result.stderr
    assert json.loads((folder / "run.json").read_text())["epochs"] == 2


def test_a_movie_refuses_a_schedule(own: Path) -> None:
    result = call("movie", "bowl", "-o", "own.py:mine+cosine")
    assert result.exit_code == 2
    assert "a movie steps by a rate that is the same all the way" in result.stderr
    assert call("movie", "bowl", "--steps", "5", "-o", "own.py:mine,own.py:Link").exit_code == 0
