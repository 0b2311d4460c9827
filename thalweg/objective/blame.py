"""Finds the line of the user's own code that an error comes from."""

from __future__ import annotations

import functools
import sysconfig
import traceback
from pathlib import Path


def blame(error: BaseException) -> str:
    """Return a sentence: an error's kind and message, and before them the innermost line of the
    user's code.

    The user's code is what belongs neither to this package, nor to an installed one, nor to Python.

    >>> blame(ZeroDivisionError("division by zero"))
    'ZeroDivisionError: division by zero.'
    """
    if isinstance(error, SyntaxError):
        source = (error.text or "").strip()
        shown = f": {source}" if source else ""
        return _ended(f"{_short(error.filename)}, line {error.lineno}: {error.msg}{shown}")
    return _ended(f"{place(error)}{type(error).__name__}{_message(error)}")


def place(error: BaseException) -> str:
    """Return the innermost line of the user's code as "my_task.py, line 3: ", or an empty text."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_users(frame.filename):
            return f"{_short(frame.filename)}, line {frame.lineno}: "
    return ""


def _message(error: BaseException) -> str:
    text = str(error).strip()
    if "Original Traceback" in text:  # a data loader's worker sends its whole traceback as text
        text = text.splitlines()[-1]
    return f": {text}" if text else ""


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _short(filename: str | None) -> str:
    return Path(filename or "?").name


def _is_users(filename: str) -> bool:
    if filename.startswith("<"):  # no file: the interpreter's own, or code from a string
        return False
    path = Path(filename)
    return not any(path.is_relative_to(root) for root in _foreign())


@functools.cache
def _foreign() -> tuple[Path, ...]:
    kept = ("stdlib", "platstdlib", "purelib", "platlib")
    roots = [sysconfig.get_path(name) for name in kept]
    return (Path(__file__).parents[1], *(Path(root) for root in roots if root))
