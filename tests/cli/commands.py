"""Running the command line inside a test, and a task in a user's own file."""

from __future__ import annotations

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

def broken():
    return Task(task().data, Cost("mse"), lambda: nn.Linear(7, 1), name="broken")

def labels():
    data = Data.arrays(torch.zeros(8, 2), torch.arange(8) % 4, validation=0.25)
    return Task(data, Cost("cross_entropy"), lambda: nn.Linear(2, 3))

def number():
    return 3
"""


def call(*arguments: str) -> Any:
    """Run the command line; exceptions that it should have caught come through."""
    return CliRunner().invoke(app, list(arguments), prog_name="thalweg", catch_exceptions=False)


@pytest.fixture
def line_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's task file in a folder of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "line.py"
    path.write_text(LINE_TASK)
    return path
