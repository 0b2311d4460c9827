"""Tasks from modules, and with options of the user's own function."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from thalweg.errors import TaskError
from thalweg.tasks import load_task

MODULE = """
import torch
from thalweg.tasks import Task

def make(width: int = 4, bias: bool = True, name="task"):
    rows = torch.zeros(4, 1)
    net = lambda: torch.nn.Linear(1, width, bias=bias)
    return Task((rows, torch.zeros(4, width)), "mse", net, name=name)

def task():
    return make()

def needs(width: int):
    return make(width)

ready = make(name="ready")
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `owned` with a module `tasks` in the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "owned"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "tasks.py").write_text(MODULE)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "owned"]:
        del sys.modules[name]


def test_a_function_of_a_module() -> None:
    before = list(sys.path)
    assert load_task("owned.tasks:make").name == "tasks-make"
    assert load_task("owned.tasks:task").name == "tasks"
    assert load_task("owned.tasks:ready").name == "ready"
    assert sys.path == before


@pytest.mark.parametrize("home", ["owned.tasks", "owned/tasks.py"])
def test_options_of_ones_own_function(home: str) -> None:
    for task in (
        load_task(f"{home}:make:width=7,bias=no"),
        load_task(f"{home}:make:width=7", bias=False),
    ):
        (weight,) = task.build().parameters()
        assert weight.shape == (7, 1)
    with pytest.raises(TaskError, match=r"no option 'widht'. Did you mean 'width'"):
        load_task(f"{home}:make:widht=7")
    with pytest.raises(TaskError, match=r"no option 'width'. It has none"):
        load_task(f"{home}:width=7")
    with pytest.raises(TaskError, match=r"needs an argument 'width': give it a default, or write"):
        load_task(f"{home}:needs")
    assert load_task(f"{home}:needs:width=2").build().weight.shape == (2, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("owned.taks:make", "There is no module 'owned.taks' .* Did you mean 'owned.tasks'"),
        ("ownd.tasks:make", "There is no module 'ownd' .* Did you mean 'owned'"),
        ("owned.tasks:mak", "module owned.tasks has no function 'mak' .* Did you mean 'make'"),
        ("owned.tasks:torch", "is a module, not a function that returns a Task"),
        ("owned-tasks:make", "neither a file .* nor a module"),
    ],
)
def test_what_is_not_there(text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_task(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "\nimport no_such_package",
            "tasks.py, line 2: .*No module named.* Install 'no_such_package'",
        ),
        ("import owned.missing", "tasks.py, line 1: .* Install 'owned', or mend the import"),
        ("x = (", r"tasks.py, line 1: .*: x = \("),
        ("\n\n1 / 0", "tasks.py, line 3: ZeroDivisionError"),
        ("raise SystemExit(3)", "tasks.py, line 1: SystemExit: 3"),
    ],
)
def test_modules_that_cannot_be_imported(package: Path, content: str, message: str) -> None:
    (package / "tasks.py").write_text(content)
    with pytest.raises(TaskError, match=f"The module owned.tasks cannot be imported. {message}"):
        load_task("owned.tasks:make")


def test_a_file_that_is_not_there(package: Path) -> None:
    with pytest.raises(TaskError, match=r"Did you mean 'tasks.py'\? `thalweg new task"):
        load_task(str(package / "task.py"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", r"returned NoneType; expected a thalweg Task. Is its `return` missing\?"),
        ("return Task(3, 'mse', print)", "mine.py, line 5: The train set must be a pair"),
        ("return Task((X, X[:0]), 'mse', print)", "line 5: The train set has 4 rows"),
        ("return Task((X[:0], X[:0]), 'mse', print)", "line 5: The train set is empty"),
        ("return Task((X, Y), 'mse', print)", r"not numbers but text .*np.unique\(y, return_inv"),
        ("return Task((X, X), 'msee', print)", "line 5: Unknown loss 'msee'. Did you mean 'mse'"),
        ("return Task((X, X))", "line 5: TypeError: .*missing 2 required"),
    ],
)
def test_functions_that_fail_say_where(tmp_path: Path, body: str, message: str) -> None:
    file = tmp_path / "mine.py"
    imports = "import numpy as np\nfrom thalweg.tasks import Task\n"
    data = "X, Y = np.ones((4, 1)), np.array(list('abab'))\n"
    file.write_text(f"{imports}{data}def task():\n    {body}\n")
    with pytest.raises(TaskError, match=message):
        load_task("mine.py")
