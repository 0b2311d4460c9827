"""What the README shows must run: as printed, from top to bottom."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.commands import call
from tests.exact import differs
from tests.race.conftest import short_turns
from thalweg.optim.cards.known import OPTIMIZERS

__all__ = ["short_turns"]

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
BLOCKS = [block for language, block in FENCED if language == "python"]
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for _, block in FENCED
    for line in block.splitlines()
    if line.startswith("thalweg ")
]
RACES = [words for words in COMMANDS if words[0] == "race"]
BUDGET = ("--trials", "1", "--seeds", "1", "--final-seeds", "1", "--epochs", "1", "--workers", "1")


def test_every_python_block_runs_after_the_ones_before(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    optimizer = None
    for number, block in enumerate(BLOCKS):
        # a rule shows where it is defined, so the block needs a file
        source = tmp_path / f"block_{number}.py"
        source.write_text(block, encoding="utf-8")
        exec(compile(block, str(source), "exec"), names)
        if names["optimizer"] is not optimizer:
            optimizer = names["optimizer"]
            step_moves(names["model"], optimizer)
    assert names["p"].tolist() == pytest.approx([1.0] * 3, abs=0.1)
    assert names["run"].evaluate("test")["accuracy"] > 0.9


def step_moves(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model(torch.ones(2, 64)).square().sum().backward()
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(2):
        optimizer.step()  # a warm-up begins with a rate of 0
    differs(list(model.parameters()), before)


def test_there_are_blocks_and_commands() -> None:
    assert len(BLOCKS) == 7
    verbs = {"doctor", "explain", "graph", "list", "lr", "movie", "new", "race", "train"}
    assert {words[0] for words in COMMANDS} == verbs
    assert len(RACES) == 4


def test_the_optimizers_are_counted() -> None:
    assert "about forty optimizers by name" in README
    assert 35 < len(OPTIMIZERS) < 45


def test_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they stand: the task that `new` writes is the one that others read."""
    monkeypatch.chdir(tmp_path)
    for words in COMMANDS:
        if words not in RACES:
            assert call(*words).exit_code == 0, words
    assert (tmp_path / "my_task.py").exists()


@pytest.mark.full
@pytest.mark.parametrize("words", RACES, ids=" ".join)
def test_races_run(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As printed, but for a budget of one trial."""
    monkeypatch.chdir(tmp_path)
    assert call("new", "task", "my_task.py").exit_code == 0
    assert call(*words, *BUDGET).exit_code == 0


def test_every_file_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target
