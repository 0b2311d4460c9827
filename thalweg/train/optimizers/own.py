"""Optimizers of the user's own, named as "file.py:name": what a Python file holds under a name."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from thalweg.engine.language.rule import Link
from thalweg.errors import TaskError
from thalweg.tasks.by_name.files import held_in_file, name_in_file, run_file

_WHAT = "an optimizer"
_KINDS = "an Entrant, a chain, a rule or a function (parameters, lr)"


def called_in_file(text: str) -> str:
    """Return the name behind the file, "lion" of "mine.py:lion".

    Raises:
        TaskError: where there is none.
    """
    return name_in_file(text, _WHAT, _KINDS)


def load_from_file(text: str) -> Any:
    """Run the file of "file.py:name" and return the optimizer that it holds under the name.

    Raises:
        TaskError: for a file that is missing or cannot be run, for a name that it does not have, and for
            something that is not an optimizer.
    """
    optimizer = held_in_file(
        text, _WHAT, _KINDS, run=lambda path: _held(path.resolve(), path.read_bytes())
    )
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
