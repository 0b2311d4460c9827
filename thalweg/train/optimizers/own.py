"""Optimizers of the user's own, named as "file.py:name": what a Python file holds under a name."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from thalweg.engine.language.rule import Link
from thalweg.errors import TaskError, suggest
from thalweg.tasks.by_name.files import run_file


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
        TaskError: for a file that is missing or cannot be run, for a name that it does not have, and for
            something that is not an optimizer.
    """
    home, name = text.partition(":")[0], name_in_file(text)
    if not Path(home).is_file():
        raise TaskError(f"There is no file {home} to take the optimizer {name!r} from.")
    held = _held(Path(home).resolve(), Path(home).read_bytes())
    if name not in held:
        own = [each for each in held if not each.startswith("_")]
        raise TaskError(f"The file {home} has nothing called {name!r}.{suggest(name, own)}")
    optimizer = held[name]
    of_rules = isinstance(optimizer, Link) or hasattr(optimizer, "hyperparameters")
    if not (callable(optimizer) or of_rules):
        raise TaskError(
            f"{text} is {optimizer!r}; expected an Entrant, a chain, a rule, or a function (parameters, lr)."
        )
    return optimizer


@functools.lru_cache(maxsize=16)
def _held(path: Path, text: bytes) -> dict[str, Any]:
    """Run a file, once for each text that it has: the recipes of a doctor or of a sweep ask many times."""
    return vars(run_file(path))
