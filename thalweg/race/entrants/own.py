"""Optimizers of the user's own, named as "file.py:name": what a Python file holds under a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thalweg.errors import TaskError, suggest
from thalweg.tasks.by_name.own import run_file


def is_in_file(text: str) -> bool:
    """Return whether a text names something in a Python file.

    >>> is_in_file("mine.py:lion"), is_in_file("lion")
    (True, False)
    """
    return text.partition(":")[0].endswith(".py")


def name_in_file(text: str) -> str:
    """Return the name behind the file, "lion" of "mine.py:lion".

    Raises:
        TaskError: where there is none.
    """
    home, _, name = text.partition(":")
    if not name.isidentifier():
        raise TaskError(
            "An optimizer of your own must be file.py:name, with the name of an Entrant, a chain, a rule or "
            f"a function (parameters, lr); got {text!r}. Write {home}:mine."
        )
    return name


def load_from_file(text: str) -> Any:
    """Run the file of "file.py:name" and return what it holds under the name.

    Raises:
        TaskError: for a file that is missing or cannot be run, and for a name that it does not have.
    """
    home, name = text.partition(":")[0], name_in_file(text)
    if not Path(home).is_file():
        raise TaskError(f"There is no file {home} to take the optimizer {name!r} from.")
    held = vars(run_file(Path(home)))
    if name not in held:
        own = [each for each in held if not each.startswith("_")]
        raise TaskError(f"The file {home} has nothing called {name!r}.{suggest(name, own)}")
    return held[name]
