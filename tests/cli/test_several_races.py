from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import SMALL, TINY, call, documented
from thalweg.race import RecordFile


def test_several_tasks_are_raced_and_summed_up(line_file: Path) -> None:
    result = call("race", "line.py", "line.py:steep", *SMALL)
    assert result.exit_code == 0
    for name in ("line", "steep"):
        assert f"Report: {Path(f'race-{name}/report.html')}" in result.stderr
    assert "Report: races.html" in result.stderr
    assert "</html>" in (line_file.parent / "races.html").read_text(encoding="utf-8")
    assert result.stdout.count("optimizer") >= 2

    document = documented("line.py", "line.py:steep", *SMALL, "--out", "here")
    assert document["schema"] == "thalweg.races/1"
    assert set(document) >= {
        *("schema", "races", "costs", "profiles", "scores", "reversals", "pairwise")
    }
    assert [race["task"] for race in document["races"]] == ["line", "steep"]
    assert [race["schema"] for race in document["races"]] == ["thalweg.race/2"] * 2
    assert document["costs"]["tasks"] == ["line", "steep"]
    here = line_file.parent / "here"
    assert (here / "races.html").exists()
    for name in ("line", "steep"):
        assert len(RecordFile(here / name / "records.jsonl").read()) == 12


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (("line.py", "line.py:task"), "Two of the tasks are called 'line'"),
        (("line.py", "line.py:taks"), "Did you mean 'task'"),
        (("line.py", "line.py:broken"), "cannot take a batch"),
    ],
)
def test_a_mistake_in_the_last_task_is_found_before_the_first_race(
    line_file: Path, tasks: tuple[str, ...], message: str
) -> None:
    result = call("race", *tasks, *SMALL)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(line_file.parent.glob("race-*")) == []


def test_a_task_named_twice_is_raced_once(line_file: Path) -> None:
    document = documented("line.py", "line.py", *TINY, "-o", "sgd")
    assert document["schema"] == "thalweg.race/2"
