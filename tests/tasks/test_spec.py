from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Optional

import pytest

from thalweg.errors import TaskError
from thalweg.tasks import load_task
from thalweg.tasks.by_name.spec import Spec, read_spec, typed

NAMES = ["digits", "parity"]


@pytest.mark.parametrize(
    ("text", "home", "function", "options"),
    [
        ("digits", "digits", "", {}),
        ("parity:bits=7", "parity", "", {"bits": "7"}),
        ("parity:bits=7,relevant=2", "parity", "", {"bits": "7", "relevant": "2"}),
        ("parity:file=a,b.txt,bits=7", "parity", "", {"file": "a,b.txt", "bits": "7"}),
        ("parity:file=C:\\a=b.txt", "parity", "", {"file": "C:\\a=b.txt"}),
        ("mine.py", "mine.py", "task", {}),
        ("digits.py", "digits.py", "task", {}),
        ("a/mine.py:make", "a/mine.py", "make", {}),
        ("mine.py:width=3", "mine.py", "task", {"width": "3"}),
        ("mine.py:make:width=3,deep=true", "mine.py", "make", {"width": "3", "deep": "true"}),
        ("C:\\mine.py:make", "C:\\mine.py", "make", {}),
        ("my.tasks:make", "my.tasks", "make", {}),
        ("my.tasks:make:width=3", "my.tasks", "make", {"width": "3"}),
        ("nothing", "nothing", "", {}),
    ],
)
def test_texts(text: str, home: str, function: str, options: dict[str, str]) -> None:
    assert read_spec(text, NAMES) == Spec(home, function, options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parity:7", "'7' is not an option: expected name=value"),
        ("parity:bits=7,bits=8", "gives the option 'bits' twice"),
        ("parity:bits=seven", "'bits' must be an integer; got 'seven'"),
        ("parity:bits=7.5", "'bits' must be an integer; got '7.5'"),
        ("parity:bit=7", "no option 'bit'. Did you mean 'bits'"),
        ("deep_quadratic:noise=loud", "'noise' must be a number; got 'loud'"),
        ("parity:bits=3,relevant=4", "Of 3 bits, relevant=4 cannot matter"),
        ("paritty:bits=3", "There is no module 'paritty' .* Did you mean 'parity'"),
    ],
)
def test_texts_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_task(text)


def test_an_option_beside_the_text() -> None:
    assert load_task("parity:bits=7", relevant=2).name == "parity:bits=7,relevant=2"
    with pytest.raises(TaskError, match="'bits' is given twice"):
        load_task("parity:bits=7", bits=8)


def make(
    whole: int = 1,
    real: float | None = None,
    old: Optional[float] = None,  # noqa: UP045
    truth: bool = False,
    text: str = "",
    path: Path = Path(),
    file: str | os.PathLike[str] | None = None,
    choice: Literal["a", "b"] = "a",
    function: object = None,
    plain=2,  # type: ignore[no-untyped-def]
) -> None:
    """Take one of each type."""


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("whole", "-3", -3),
        ("real", "1e-3", 1e-3),
        ("real", "none", None),
        ("old", "2", 2.0),
        ("truth", "True", True),
        ("truth", "no", False),
        ("text", "12", "12"),
        ("path", "a/b", Path("a/b")),
        ("path", "~/b", Path("~/b").expanduser()),
        ("file", "a.txt", Path("a.txt")),
        ("choice", "b", "b"),
        ("plain", "4", 4),
    ],
)
def test_annotations_give_the_type(name: str, text: str, value: object) -> None:
    (found,) = typed(make, {name: text}).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("truth", "maybe", "'truth' must be true or false; got 'maybe'"),
        ("real", "x", "'real' must be a number or none; got 'x'"),
        ("function", "print", "'function' cannot be given as text; give it in Python"),
    ],
)
def test_texts_of_another_type(name: str, text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        typed(make, {name: text})


def test_a_text_of_ones_own_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "notes, old.txt"
    file.write_text("all is well, " * 200)
    task = load_task(f"char_lstm:file={file},length=8")
    assert task.name == "char_lstm:file=notes, old.txt,length=8"
    assert task.target is None


def test_an_empty_path_is_not_the_working_folder() -> None:
    def make(file: Path | None = None) -> None: ...

    with pytest.raises(TaskError, match="'file' must be a path or none; got ''"):
        typed(make, {"file": ""})
