from __future__ import annotations

import sys
from pathlib import Path

import pytest

from thalweg.errors import TaskError
from thalweg.tasks import list_tasks, load_task

GOOD = """
import numpy as np
from torch import nn
from thalweg.objective import Cost
from thalweg.tasks import Data, Task

X = np.zeros((4, 2), "float32")

def task():
    return Task(Data.arrays(X, X), Cost("mse"), lambda: nn.Linear(2, 2), name="mine")

def other():
    return task().replace(name="other")

def number():
    return 3

def broken():
    return 1 / 0

def unusable():
    return Task(data=Data.arrays(X, X[:1]), cost=Cost("mse"), model=nn.Identity)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    return path


def test_functions_of_a_file(file: Path) -> None:
    before = list(sys.path)
    assert load_task(str(file)).name == "mine"
    assert load_task(f"{file}:other").name == "other"
    assert sys.path == before


def test_files_of_one_name_do_not_answer_for_each_other(file: Path, tmp_path: Path) -> None:
    second = tmp_path / "elsewhere" / "mine.py"
    second.parent.mkdir()
    second.write_text(GOOD.replace('"mine"', '"second"'))
    assert load_task(str(file)).name == "mine"
    assert load_task(str(second)).name == "second"


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_task.py").write_text(GOOD)
    (tmp_path / "main.py").write_text("from neighbour_of_task import task\n")
    assert load_task(str(tmp_path / "main.py")).name == "mine"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("tsk", "no function 'tsk' that returns a Task. Did you mean 'task'"),
        ("zzz", r"It has task, other, number, broken, unusable: name one as .*mine.py:"),
        ("number", "returned int; expected a thalweg Task"),
        ("broken", "line 19: ZeroDivisionError: division by zero"),
        ("unusable", "failed. mine.py, line 22: The train set has 4 rows of inputs but 1"),
        ("X", "is a ndarray, not a function"),
    ],
)
def test_functions_that_do_not_serve(file: Path, function: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_task(f"{file}:{function}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = (", "line 1: "),
        ("import no_such_module_here", "line 1: ModuleNotFoundError: No module named"),
        ("\n\nraise ValueError('no')", "line 3: ValueError: no"),
        ("import sys; sys.exit(2)", "SystemExit: 2"),
    ],
)
def test_files_that_cannot_be_run(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(TaskError, match=message):
        load_task(str(path))


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="Did you mean 'digits'"):
        load_task("digit")
    with pytest.raises(TaskError, match="There is no file"):
        load_task(str(tmp_path / "none.py"))


def test_the_list_says_something_of_each() -> None:
    assert all(text.endswith(".") for text in list_tasks().values())


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("shapes.py", "shapes"),
        ("shapes.py:task", "shapes"),
        ("shapes.py:other", "shapes-other"),
        ("shapes.py:named", "mine"),
    ],
)
def test_a_task_without_a_name_is_named_after_its_file(
    wanted: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / "shapes.py").write_text(
        "import torch\n"
        "from thalweg.tasks import Task\n"
        "def task(**parts):\n"
        "    rows = torch.zeros(4, 1)\n"
        "    return Task((rows, rows), 'mse', lambda: torch.nn.Linear(1, 1), **parts)\n"
        "def other(): return task()\n"
        "def named(): return task(name='mine')\n"
    )
    assert load_task(str(tmp_path / wanted)).name == name
