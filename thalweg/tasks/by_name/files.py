"""Python files of the user's own, run as modules."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from thalweg.errors import TaskError, suggest
from thalweg.objective.blame import blame

TASK_MODULE = "thalweg_task_"
"""What the module of a user's file is called, before a hash of its path."""


def is_in_file(text: str) -> bool:
    """Return whether a text names something in a Python file.

    >>> is_in_file("mine.py:lion"), is_in_file("lion")
    (True, False)
    """
    return text.partition(":")[0].endswith(".py")


def name_in_file(text: str, what: str, kinds: str) -> str:
    """Return the name behind the file, "lion" of "mine.py:lion".

    `what` is wanted, with its article, such as "a strategy"; `kinds` says what the name may be of.

    Raises:
        TaskError: where there is none.
    """
    home, _, name = text.partition(":")
    if not name.isidentifier():
        raise TaskError(
            f"{what[0].upper()}{what[1:]} of your own must be file.py:name, with the name of {kinds}; got "
            f"{text!r}. Write {home}:mine."
        )
    return name


def held_in_file(
    text: str, what: str, kinds: str, run: Callable[[Path], Mapping[str, Any]] | None = None
) -> Any:
    """Run the file of "file.py:name" and return what it holds under the name.

    `run` returns what a file holds; by default the file is run each time. See `name_in_file`.

    Raises:
        TaskError: for a file that is missing or cannot be run, and for a name that it does not have.
    """
    home, name = text.partition(":")[0], name_in_file(text, what, kinds)
    if not Path(home).is_file():
        raise TaskError(
            f"There is no file {home} to take the {what.partition(' ')[2]} {name!r} from."
        )
    held = vars(run_file(Path(home))) if run is None else run(Path(home))
    if name not in held:
        own = [each for each in held if not each.startswith("_")]
        raise TaskError(f"The file {home} has nothing called {name!r}.{suggest(name, own)}")
    return held[name]


def run_file(path: Path) -> ModuleType:
    """Run a Python file of the user's own, and return it as a module.

    Raises TaskError for a file that is missing or cannot be run.
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
        with on_path(path.parent):  # as for a script: files beside it can be imported
            spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(spec.name, None)
        if is_ctrl_c(error):
            raise
        raise TaskError(f"The file {path} cannot be run. {blame(error)}{advice(error)}") from error
    return module


def advice(error: BaseException) -> str:
    """Return what to do about an import that failed, after a space; nothing for other errors."""
    if isinstance(error, ModuleNotFoundError):
        return f" Install {(error.name or '').partition('.')[0]!r}, or mend the import."
    return ""


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether it is the user's own Ctrl-C, and not what the file raises by itself."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return not frames or "raise" not in (frames[-1].line or "")


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Let files of a folder be imported inside the block."""
    entry = str(folder)
    sys.path.insert(0, entry)
    importlib.invalidate_caches()  # for a file written a moment ago
    try:
        yield
    finally:
        sys.path.remove(entry)
