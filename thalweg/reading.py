"""Files that someone may have edited, torn or put there: read whole, or unreadable with a reason.

A file that a program left is JSON of its own making, until an editor, a full disk or a kill made it
something else. So reading takes nothing on trust: what is not a regular file is not opened to wait for
it, no file and no line is longer than a bound, and what JSON allows beyond plain values (numbers of
5000 digits, 1e999, NaN, a key twice, half a surrogate pair, ten thousand brackets) is refused.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn, TypeGuard

from thalweg.files import check_regular

LARGEST_FILE = 16 * 2**20
"""The longest file, or line of a file, that is read: a hundred times what any is."""

_AHEAD = 2**16
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_DIGITS = 20  # of the largest integer of a machine, with its sign


class UnreadableError(ValueError):
    """A file, or a part of it, is not what it should be; the message says why."""


def read_json(path: str | os.PathLike[str], most: int = LARGEST_FILE) -> Any:
    """Return what a file of JSON holds.

    Raises:
        FileNotFoundError: if there is none.
        UnreadableError: for a file that cannot be read, or does not hold one plain value.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     _ = file.write(b'{"a": 1}')
        ...     file.flush()
        ...     read_json(file.name)
        {'a': 1}
    """
    with _opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UnreadableError(f"it is longer than {most:,} bytes")
    return parse_json(content)


def read_lines(path: str | os.PathLike[str], most: int = LARGEST_FILE) -> Iterator[bytes]:
    """Yield the lines of a file without their ends; one that is too long, as b"".

    Raises:
        FileNotFoundError: if there is none.
        UnreadableError: for a file that cannot be read.
    """
    with _opened(path) as file:
        while True:
            line = file.readline(most + 1)
            if not line:
                return
            if len(line) <= most or line.endswith(b"\n"):
                yield line.removesuffix(b"\n")
                continue
            while line and not line.endswith(b"\n"):
                line = file.readline(_AHEAD)
            yield b""


def parse_json(content: bytes | str) -> Any:
    """Return the plain value that a text of JSON, in UTF-8, stands for.

    Raises:
        UnreadableError: for anything else, and for what could not be written again: numbers beyond
            those of a machine, a key that is given twice, half a surrogate pair.

    >>> parse_json(b'{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        value = json.loads(
            text,
            parse_float=_finite,
            parse_int=_whole,
            parse_constant=_refused,
            object_pairs_hook=_object,
        )
        if _HALF_A_PAIR.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnreadableError:
        raise
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not text in UTF-8: {error.reason}") from None
    except UnicodeEncodeError:
        raise UnreadableError("a text in it holds half a surrogate pair") from None
    except RecursionError:
        raise UnreadableError("it is nested too deeply") from None
    except ValueError as error:
        raise UnreadableError(f"it is not JSON: {error}") from None
    return value


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value of JSON is a finite number, which True is not.

    >>> is_number(0.5), is_number(True), is_number("0.5")
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any, least: int = 0) -> TypeGuard[int]:
    """Return whether a value of JSON is an integer ≥ `least`, which True is not.

    >>> is_count(3), is_count(3.0), is_count(-1)
    (True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def count_from(value: Any) -> int:
    """Return an integer of at least 0; TypeError or ValueError if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected an integer, got {value!r:.60}")
    if not 0 <= value < 1 << 62:
        raise ValueError(f"expected an integer of at least 0, got {value!r:.60}")
    return value


def amount_from(value: Any) -> float:
    """Return a finite number of at least 0; TypeError or ValueError if it is not one."""
    number = number_from(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"expected a finite number of at least 0, got {value!r:.60}")
    return number


def text_from(value: Any) -> str:
    """Return a text; TypeError if it is not one."""
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r:.60}")
    return value


def number_from(value: Any) -> float:
    """Return a number, which True is not; TypeError if it is not one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {value!r:.60}")
    return float(value)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a regular file for reading; opening a pipe does not wait for its other end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT)
        with open(descriptor, "rb", _AHEAD) as file:
            check_regular(os.fstat(descriptor), path)
            yield file
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:  # nor can there be one
        raise FileNotFoundError(error.errno, error.strerror, error.filename) from None
    except OSError as error:
        raise UnreadableError(f"it cannot be read: {error.strerror}") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise UnreadableError(f"the number {_short(text)} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > _DIGITS:  # Python itself takes time that grows with their square
        raise UnreadableError(f"the number {_short(text)} is too large")
    return int(text)


def _refused(text: str) -> NoReturn:
    raise UnreadableError(f"JSON has no {text}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        left = list(made)  # the first of each, in their order
        twice = next(
            name for (name, _), first in zip(pairs, [*left, None], strict=False) if name != first
        )
        raise UnreadableError(f"the key {_short(twice)!r} is given twice")
    return made


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:30]}…"
