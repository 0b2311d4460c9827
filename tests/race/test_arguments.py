"""The arguments of a race are written once, and everyone sees all of them."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from typing import Any

import pytest
import typer

import thalweg
from tests.race.races import small
from tests.race.tasks import line
from thalweg.cli.app import app
from thalweg.race import Race, RaceArguments, RaceProgress, race

NAMES = [field.name for field in fields(RaceArguments)]


@pytest.mark.parametrize("taker", [thalweg.race, race, Race], ids=["package", "function", "class"])
def test_the_signature_shows_every_argument_with_its_default(taker: Any) -> None:
    shown = inspect.signature(taker).parameters
    assert list(shown) == NAMES
    assert shown == inspect.signature(RaceArguments).parameters
    positional = [p.name for p in shown.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["task", "entrants", "lrs"]


def test_the_docstring_says_what_each_argument_means() -> None:
    described = (inspect.getdoc(race) or "").partition("Args:")[2].partition("Raises:")[0]
    listed = re.findall(r"^ {4}(\w+): ", described, re.MULTILINE)
    assert listed == NAMES


def test_the_command_line_takes_them_with_their_defaults() -> None:
    command = typer.main.get_command(app).commands["race"]  # type: ignore[attr-defined]
    options = {option.name: option for option in command.params}
    own = {"tasks", "tune", "as_json", "help"}
    old = {"engine"}  # which names the new one
    assert set(options) - own - old == set(NAMES) - {"task", "progress", "command"}
    differs = {
        name: (options[name].default, field.default)
        for name, field in RaceArguments.__dataclass_fields__.items()
        if name in options and options[name].default != field.default
    }
    assert differs == {"out": (None, "race-{task}"), "batch_size": (None, "task")}


@pytest.mark.parametrize("taker", [thalweg.race, Race])
@pytest.mark.parametrize(
    ("given", "named", "message"),
    [
        (("digits",), {"engine": "ray"}, r"write executor=, such as executor='ray'"),
        (("digits",), {"seed": 3}, r"^race\(\) got an unexpected keyword argument 'seed'$"),
        ((), {}, r"^race\(\) missing a required argument: 'task'$"),
        (("digits", None, None, 9), {}, r"^race\(\) too many positional arguments$"),
    ],
)
def test_what_a_race_does_not_take_is_a_type_error(
    taker: Any, given: Any, named: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        taker(*given, **named)


def test_progress_is_that_of_the_arguments_or_of_the_call() -> None:
    first: list[RaceProgress] = []
    second: list[RaceProgress] = []
    contest = Race(line(), **small(), out=None, progress=first.append)
    contest.run()
    told = len(first)
    assert told > 1
    contest.run(second.append)
    assert (len(first), len(second) >= 1) == (told, True)
