"""Tasks of the user's own: a function in a Python file, or in a module that can be imported."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from thalweg.errors import TaskError, ThalwegError, suggest
from thalweg.objective.blame import blame, place
from thalweg.tasks.by_name.spec import DEFAULT_FUNCTION, Spec, check_options, typed
from thalweg.tasks.task import UNNAMED, Task

TASK_MODULE = "thalweg_task_"
"""What the module of a user's file is called, before a hash of its path."""


def load_own(spec: Spec, options: Mapping[str, Any], built_in: Collection[str] = ()) -> Task:
    """Return the task that the user's function makes; a task without a name is named after where it
    comes from. `built_in` are the names that may have been meant.
    """
    if spec.is_file:
        module, stem = run_file(Path(spec.home)), Path(spec.home).stem
    else:
        module, stem = _import(spec.home, built_in), spec.home.rpartition(".")[2]
    task = _call(module, spec, options)
    if task.name != UNNAMED:
        return task
    return task.replace(
        name=stem if spec.function == DEFAULT_FUNCTION else f"{stem}-{spec.function}"
    )


def run_file(path: Path) -> ModuleType:
    """Run a Python file of the user's own, and return it as a module.

    Raises:
        TaskError: for a file that is missing or cannot be run.
    """
    if not path.is_file():
        folder = path.parent
        near = [each.name for each in folder.glob("*.py")] if folder.is_dir() else []
        raise TaskError(
            f"There is no file {path}.{suggest(path.name, near)} `thalweg new task {path}` writes "
            "one to start from."
        )
    path = path.resolve()
    # A name of its own for each path, so that two files called task.py do not replace each
    # other.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"{TASK_MODULE}{digest}", path)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up there
    try:
        with _on_path(path.parent):  # as for a script: files beside it can be imported
            spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(spec.name, None)
        if _is_ctrl_c(error):
            raise
        raise TaskError(f"The file {path} cannot be run. {blame(error)}{_advice(error)}") from error
    return module


def _import(name: str, built_in: Collection[str]) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise TaskError(
            f"{name!r} is neither a file (it ends in .py) nor a module (my_package.tasks): a task "
            "of your own is file.py:function or module:function."
        )
    with _on_path(Path.cwd()):  # as for `python -m`
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if name != missing and not name.startswith(f"{missing}."):
                raise _failed(name, error) from error  # what the module itself imports
            raise TaskError(
                f"There is no module {missing!r} to take the task from.{_near(missing, built_in)} It "
                f"is looked for in {Path.cwd()} and among what is installed."
            ) from None
        except BaseException as error:
            if _is_ctrl_c(error):
                raise
            raise _failed(name, error) from error


def _failed(name: str, error: BaseException) -> TaskError:
    return TaskError(f"The module {name} cannot be imported. {blame(error)}{_advice(error)}")


def _near(missing: str, built_in: Collection[str]) -> str:
    """Return a suggestion among built-in tasks, and the modules beside the one that is missing."""
    parent, _, last = missing.rpartition(".")
    where = getattr(sys.modules.get(parent), "__path__", None) if parent else [os.getcwd()]
    prefix = f"{parent}." if parent else ""
    known = [f"{prefix}{found.name}" for found in pkgutil.iter_modules(where)] if where else []
    return suggest(f"{prefix}{last}", [*built_in, *known])


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f" Install {(error.name or '').partition('.')[0]!r}, or mend the import."
    return ""


def _is_ctrl_c(error: BaseException) -> bool:
    """Whether it is the user's own Ctrl-C, and not what the file raises by itself."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return not frames or "raise" not in (frames[-1].line or "")


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    entry = str(folder)
    sys.path.insert(0, entry)
    importlib.invalidate_caches()  # for a file written a moment ago
    try:
        yield
    finally:
        sys.path.remove(entry)


def _call(module: ModuleType, spec: Spec, options: Mapping[str, Any]) -> Task:
    called = f"{spec.home}:{spec.function}"
    make = getattr(module, spec.function, None)
    if make is None:
        raise _missing(module, spec)
    if isinstance(make, Task) and not (options or spec.options):
        return make
    if not callable(make):
        raise TaskError(
            f"{spec.function!r} in {spec.home} is a {type(make).__name__}, not a function that "
            "returns a Task."
        )
    check_options(make, {**options, **spec.options}, called)
    _check_complete(make, {**options, **spec.options}, called)
    try:
        task = make(**options, **typed(make, spec.options))
    except ThalwegError as error:
        raise TaskError(f"{called} failed. {place(error)}{error}") from error
    except BaseException as error:
        if _is_ctrl_c(error):
            raise
        raise TaskError(f"{called} failed. {blame(error)}") from error
    if not isinstance(task, Task):
        hint = " Is its `return` missing?" if task is None else ""
        raise TaskError(f"{called} returned {type(task).__name__}; expected a thalweg Task.{hint}")
    return task


def _check_complete(make: Callable[..., Any], given: Collection[str], called: str) -> None:
    parameters = inspect.signature(make).parameters.values()
    for each in parameters:
        is_open = each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        if each.default is each.empty and not is_open and each.name not in given:
            raise TaskError(
                f"{called} needs an argument {each.name!r}: give it a default, or write "
                f"{called}:{each.name}=…."
            )


def _missing(module: ModuleType, spec: Spec) -> TaskError:
    where = f"The {'file' if spec.is_file else 'module'} {spec.home}"
    own = [
        name
        for name, value in vars(module).items()
        if isinstance(value, Task)
        or (callable(value) and getattr(value, "__module__", None) == module.__name__)
    ]
    hint = suggest(spec.function, own)
    if not hint and own:
        hint = f" It has {', '.join(own)}: name one as {spec.home}:{own[-1]}."
    return TaskError(f"{where} has no function {spec.function!r} that returns a Task.{hint}")
