"""What docs/strategies.md shows must run, and every strategy stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import thalweg
from tests.cli.commands import call
from thalweg.strategies import STRATEGIES, Strategy
from thalweg.strategies.named import IN_PYTHON

PAGE = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")


def test_the_blocks_run_and_so_do_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raced: list[Any] = []

    def small(task: Any, entrants: Any, **given: Any) -> str:
        raced.append(thalweg.race(task, entrants, **given | {"epochs": 1, "final_seeds": 1}))
        return "raced"

    names: dict[str, Any] = {"small": small}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block.replace("print(race(", "print(small("), names)
    assert {record.status for record in raced[0].records} == {"finished"}
    commands = re.findall(r"^thalweg (.*)$", PAGE, flags=re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        ended = call(*shlex.split(command))
        assert ended.exit_code == 0, ended.output


def test_every_strategy_stands_on_the_page() -> None:
    found = set(re.findall(r"^\*\*(\w+)\*\*", PAGE, flags=re.MULTILINE))
    public = {
        name
        for name in thalweg.strategies.__all__
        if isinstance(value := getattr(thalweg.strategies, name), type)
        and issubclass(value, Strategy)
        and value is not Strategy
    }
    assert found == public
    assert {*STRATEGIES, *IN_PYTHON} == public
