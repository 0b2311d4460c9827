"""Running the command line inside a test, and a task in a user's own file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from thalweg.cli.app import app

LINE_TASK = """
import torch
from torch import nn
from thalweg.objective import Cost
from thalweg.tasks import Data, Target, Task

def task():
    x = torch.linspace(-1, 1, 64).reshape(-1, 1)
    data = Data.arrays(x, 2 * x + 1, validation=0.25)
    cost = Cost("mse", metrics="mse")
    return Task(data, cost, lambda: nn.Linear(1, 1), name="line", target=Target("mse", 0.05))

def aimless():
    return task().replace(name="aimless", target=None)

def steep():
    given = task()
    model = lambda: nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
    return given.replace(name="steep", model=model, target=Target("mse", 0.4))

def broken():
    return Task(task().data, Cost("mse"), lambda: nn.Linear(7, 1), name="broken")

def labels():
    data = Data.arrays(torch.zeros(8, 2), torch.arange(8) % 4, validation=0.25)
    return Task(data, Cost("cross_entropy"), lambda: nn.Linear(2, 3))

def number():
    return 3
"""


# two rates on two seeds, then two seeds of the final, for two entrants: 12 trials
SMALL = (
    *("--optimizers", "sgd,Adam", "--lrs", "0.03,0.3", "--seeds", "2", "--final-seeds", "2"),
    *("--epochs", "4", "--no-stack"),
)
TINY = ("--lrs", "0.3", "--seeds", "1", "--final-seeds", "1", "--epochs", "2", "--no-stack")


def documented(*arguments: str) -> dict[str, Any]:
    """The document of a race that went well."""
    result = call("race", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def flat(text: str) -> str:
    """Text without the line breaks that fit it to a width."""
    return " ".join(text.split())


def call(*arguments: str) -> Any:
    """Run the command line; exceptions that it should have caught come through."""
    return CliRunner().invoke(app, list(arguments), prog_name="thalweg", catch_exceptions=False)


def interrupting(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, at: int) -> None:
    """Raise what Ctrl-C raises, just before something happens for the nth time."""
    function, calls = getattr(where, name), 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    monkeypatch.setattr(where, name, counted)


@pytest.fixture
def line_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's task file in a folder of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "line.py"
    path.write_text(LINE_TASK)
    return path
