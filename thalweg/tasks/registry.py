"""Tasks by name: the built-in ones, and those in a user's own file."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from thalweg.errors import TaskError, ThalwegError, suggest
from thalweg.tasks.diabetes import diabetes
from thalweg.tasks.digits import digits
from thalweg.tasks.mnist import mnist
from thalweg.tasks.task import UNNAMED, Task

_BUILT_IN: dict[str, Callable[[], Task]] = {
    "digits": digits,
    "diabetes": diabetes,
    "mnist": mnist,
}


def list_tasks() -> dict[str, str]:
    """Return the built-in tasks: name, and one line on each.

    >>> sorted(list_tasks())
    ['diabetes', 'digits', 'mnist']
    """
    return {name: (make.__doc__ or "").partition("\n")[0] for name, make in _BUILT_IN.items()}


def load_task(name: str) -> Task:
    """Return the task called `name`.

    `name` is a built-in task ("digits"), or a Python file with a function without arguments that
    returns a `Task`: "file.py:function", or "file.py" if the function is called `task`. The file is
    run as a program of the user's own. A task that it gives no name is named after the file, and
    after the function where that is not `task`: "file" or "file-function".

    Raises TaskError for an unknown name, a file that cannot be run, and a function that is missing
    or returns no `Task`.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    path, function = _file_and_function(name)
    if path is None:
        raise TaskError(
            f"There is no task {name!r}.{suggest(name, _BUILT_IN)} Built in are "
            f"{', '.join(_BUILT_IN)}; a file of your own is given as file.py or file.py:function."
        )
    task = _call(_run_file(path), path, function)
    if task.name != UNNAMED:
        return task
    return task.replace(name=path.stem if function == "task" else f"{path.stem}-{function}")


def _file_and_function(name: str) -> tuple[Path | None, str]:
    file, colon, function = name.rpartition(":")
    if colon and file.endswith(".py"):
        return Path(file), function
    return (Path(name), "task") if name.endswith(".py") else (None, "")


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise TaskError(f"There is no file {path}.")
    path = path.resolve()
    # A name of its own for each path, so that two files called task.py do not answer for each
    # other.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"thalweg_task_{digest}", path)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up there
    sys.path.insert(0, str(path.parent))  # as for a script: files beside it can be imported
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(spec.name, None)
        raise TaskError(f"The file {path} cannot be run: {_where(error, path)}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _call(module: ModuleType, path: Path, function: str) -> Task:
    make = getattr(module, function, None)
    if make is None:
        own = [
            name
            for name, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__
        ]
        hint = suggest(function, own)
        if not hint and own:
            hint = f" It has {', '.join(own)}: name one as {path}:{own[-1]}."
        raise TaskError(f"The file {path} has no function {function!r} that returns a Task.{hint}")
    if isinstance(make, Task):
        return make
    if not callable(make):
        raise TaskError(
            f"{function!r} in {path} is a {type(make).__name__}, not a function that returns a "
            "Task."
        )
    try:
        task = make()
    except ThalwegError as error:
        raise TaskError(f"{path}:{function} failed. {error}") from error
    except Exception as error:
        raise TaskError(f"{path}:{function} failed: {_where(error, path)}") from error
    if not isinstance(task, Task):
        raise TaskError(
            f"{path}:{function} returned {type(task).__name__}; expected a thalweg Task."
        )
    return task


def _where(error: BaseException, path: Path) -> str:
    """Return what went wrong and in which line of the user's file."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == path.resolve()
    ]
    place = f"line {lines[-1]}: " if lines else ""
    return f"{place}{type(error).__name__}: {error}"
