"""Tasks by name: the built-in ones, and those in a user's own file."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from thalweg.errors import TaskError, ThalwegError, suggest
from thalweg.tasks.adding import adding
from thalweg.tasks.breast_cancer import breast_cancer
from thalweg.tasks.char_language import char_lstm, char_transformer
from thalweg.tasks.deep_linear import deep_linear
from thalweg.tasks.deep_quadratic import deep_quadratic
from thalweg.tasks.diabetes import diabetes
from thalweg.tasks.digits import digits
from thalweg.tasks.digits_kin import digits_cnn, digits_logistic
from thalweg.tasks.digits_vae import digits_vae
from thalweg.tasks.landscapes import beale, booth, himmelblau, rastrigin, ravine, saddle
from thalweg.tasks.matrix_factorisation import matrix_factorisation
from thalweg.tasks.mnist import mnist
from thalweg.tasks.parity import parity
from thalweg.tasks.photo import photo
from thalweg.tasks.rosenbrock import rosenbrock
from thalweg.tasks.task import UNNAMED, Task

_BUILT_IN: dict[str, Callable[..., Task]] = {
    make.__name__: make
    for make in (
        *(digits, digits_logistic, digits_cnn, digits_vae, breast_cancer, diabetes, mnist),
        *(char_transformer, char_lstm, photo, adding, parity),
        *(deep_linear, matrix_factorisation, deep_quadratic, rosenbrock),
        *(beale, booth, himmelblau, rastrigin, saddle, ravine),
    )
}


def list_tasks() -> dict[str, str]:
    """Return the built-in tasks: name, and one line on each.

    >>> list(list_tasks())[:3]
    ['digits', 'digits_logistic', 'digits_cnn']
    """
    return {name: (make.__doc__ or "").partition("\n")[0] for name, make in _BUILT_IN.items()}


def load_task(name: str, **options: Any) -> Task:
    """Return the task called `name`; `options` are those of the built-in one.

    `name` is a built-in task ("digits"), or a Python file with a function without arguments that
    returns a `Task`: "file.py:function", or "file.py" if the function is called `task`. The file is
    run as a program of the user's own. A task that it gives no name is named after the file, and
    after the function where that is not `task`: "file" or "file-function".

    Raises TaskError for an unknown name or option, a file that cannot be run, and a function that
    is missing or returns no `Task`.

    >>> load_task("rosenbrock", dimensions=3).build().point.shape
    torch.Size([3])
    """
    if name in _BUILT_IN:
        _check_options(name, options)
        return _BUILT_IN[name](**options)
    path, function = _file_and_function(name)
    if path is None:
        raise TaskError(
            f"There is no task {name!r}.{suggest(name, _BUILT_IN)} Built in are "
            f"{', '.join(_BUILT_IN)}; a file of your own is given as file.py or file.py:function."
        )
    if options:
        raise TaskError(
            f"Options such as {next(iter(options))} are for built-in tasks; the function of a file "
            "is called without arguments."
        )
    task = _call(_run_file(path), path, function)
    if task.name != UNNAMED:
        return task
    return task.replace(name=path.stem if function == "task" else f"{path.stem}-{function}")


def _check_options(name: str, options: dict[str, Any]) -> None:
    known = list(inspect.signature(_BUILT_IN[name]).parameters)
    for option in options:
        if option not in known:
            has = f"It has: {', '.join(known)}." if known else "It has none."
            raise TaskError(
                f"The task {name!r} has no option {option!r}.{suggest(option, known)} {has}"
            )


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
