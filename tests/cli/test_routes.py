from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import call
from thalweg.cli.routes import EXAMPLES


def test_a_table_of_the_parameters_of_a_tasks_model(line_file: Path) -> None:
    result = call("routes", "line.py", "-o", "adamw", "--lr", "0.25", "--set", "weight_decay=0.5")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["name", "kind", "route", "shape", "lr", "decay", "state", "bytes"]
    assert "head" in lines[2]
    assert "0.25" in lines[2]
    assert "0.5" in lines[2]


def test_the_table_as_json(line_file: Path) -> None:
    result = call("routes", "line.py", "-o", "lion", "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "thalweg.routes/1"
    assert document["optimizer"] == "lion"
    assert {row["name"]: row["kind"] for row in document["parameters"]} == {
        "weight": "head",
        "bias": "bias",
    }
    assert document["routes"] == {"group 0": "lion()"}


def test_an_optimizer_that_is_not_made_of_rules_is_named(line_file: Path) -> None:
    result = call("routes", "line.py", "-o", "lbfgs")
    assert result.exit_code != 0
    assert "LBFGS is not made of rules" in result.output


def test_the_examples_are_of_this_verb() -> None:
    assert all(line.startswith("thalweg routes ") for line in EXAMPLES)
