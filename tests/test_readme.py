"""What the README shows must run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from tests.cli.commands import call
from thalweg.optim.card import OPTIMIZERS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_python_block_runs(number: int, tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    names: dict[str, Any] = {"model": nn.Linear(2, 1), "x": x[:300].astype("float32"), "y": y[:300]}
    # a rule shows where it is defined, so the block needs a file
    source = tmp_path / "block.py"
    source.write_text(BLOCKS[number], encoding="utf-8")
    exec(compile(BLOCKS[number], str(source), "exec"), names)
    if "optimizer" in names:
        before = names["model"].weight.detach().clone()
        names["model"](torch.ones(2)).sum().backward()
        names["optimizer"].step()
        assert not torch.equal(before, names["model"].weight)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 4


def test_the_optimizers_are_counted() -> None:
    assert f"{len(OPTIMIZERS)} optimizers by name" in README


@pytest.mark.parametrize(
    "line",
    [line for line in README.splitlines() if line.startswith(("thalweg explain", "thalweg list"))],
)
def test_commands_that_only_look_run(line: str) -> None:
    words = line.partition("#")[0].split()
    assert call(*words[1:]).exit_code == 0


def test_every_file_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target
