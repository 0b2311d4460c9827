"""Text as numbers: windows of characters, from a file or from Python itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thalweg.errors import DataError, sentence


@dataclass(frozen=True)
class Windows:
    """A text cut into windows that do not overlap.

    `inputs` and `targets` (windows, length) hold numbers of characters, the targets one character
    ahead; `alphabet` has the characters in the order of their numbers.
    """

    inputs: np.ndarray
    targets: np.ndarray
    alphabet: str


def unicode_names() -> str:
    """Return the names of Unicode 3.2's characters below U+3000, one a line, in upper case.

    A text of 214,459 characters with 38 different ones. It is the same in every version of Python:
    Python keeps this version of Unicode (`unicodedata.ucd_3_2_0`), and names never change once they
    are given.

    >>> unicode_names().splitlines()[65:67]
    ['LATIN SMALL LETTER A', 'LATIN SMALL LETTER B']
    """
    import unicodedata

    named = (unicodedata.ucd_3_2_0.name(chr(code), "") for code in range(0x3000))
    return "\n".join(name for name in named if name)


def read_text(path: str | os.PathLike[str]) -> str:
    """Return a UTF-8 file's text; DataError where it cannot be read."""
    file = Path(path).expanduser()
    try:
        # A pipe would be waited for, and a device has no end.
        if file.exists() and not file.is_file():
            raise IsADirectoryError(0, "it is not a regular file")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"The text file {file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"The file {file} is not UTF-8 text: byte {error.start} does not fit. Convert it first."
        ) from None
    except ValueError as error:  # a NUL in the name
        raise DataError(f"The text file {file} cannot be read: {sentence(error)}") from None


def windows(text: str, length: int, most: int | None = None) -> Windows:
    """Cut `text` into windows of `length` characters, at most `most` of them, evenly spaced.

    >>> cut = windows("abc" * 10, 2)
    >>> cut.alphabet, cut.inputs[:2].tolist(), cut.targets[:2].tolist()
    ('abc', [[0, 1], [2, 0]], [[1, 2], [0, 1]])
    """
    alphabet = "".join(sorted(set(text)))
    codes = {character: code for code, character in enumerate(alphabet)}
    numbers = np.fromiter((codes[character] for character in text), np.int64, len(text))
    available = (len(text) - 1) // length
    if available < 10:
        raise DataError(
            f"The text has {len(text)} characters, which is too short to learn from: expected at "
            f"least {10 * length + 1}, ten windows of {length}."
        )
    used = available if most is None else min(available, most)
    starts = length * (np.arange(used) * available // used)
    index = starts[:, None] + np.arange(length)
    return Windows(numbers[index], numbers[index + 1], alphabet)
