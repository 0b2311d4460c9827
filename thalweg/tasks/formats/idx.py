"""IDX files, the format of MNIST: a big-endian header, then the bytes of the array.

Header: two zero bytes, a type byte (8: unsigned byte), the number of axes, then the length of each
axis as 32-bit numbers. Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten
digits.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from thalweg.errors import DataError, sentence

_PIECE = 1 << 24
_LARGE, _GROWTH = 1 << 28, 100
"""A compressed file may unpack to so many bytes in any case, or to so many times its own size."""
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path, axes: int | None = None) -> np.ndarray:
    """Return the array in an IDX file, plain or compressed (`.gz`).

    `axes` is the number of axes expected: 3 for images, 1 for labels. Raises DataError, naming the
    file, what was expected and what was found, for a file that is missing, truncated, too long, or
    not IDX.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
            raise DataError(f"{path} cannot be read: it is not a regular file.")
        with _opened(path) as (file, zipped):
            return _array(path, file, axes, zipped)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path} is a truncated or broken gzip file ({error}). Fetch it again."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}.") from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], bool]]:
    """Open a file for reading, through gzip where its content is compressed, and say whether it is:
    some programs unpack and keep the name.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not compressed:
            yield file, False
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast("IO[bytes]", unpacked), True


def _array(path: Path, file: IO[bytes], axes: int | None, zipped: bool) -> np.ndarray:
    """Read the header, then the array that it announces and no more."""
    start = file.read(4)
    if len(start) < 4:
        raise DataError(
            f"{path} is truncated: it has {len(start)} bytes, too few for an IDX header."
        )
    zero, kind, count = struct.unpack(">HBB", start)
    magic = int.from_bytes(start, "big")
    if zero or kind not in _TYPES or not count:
        raise DataError(
            f"{path} is not an IDX file: it begins with 0x{magic:08x}, expected "
            f"{_expected(axes)}. It may be an HTML page or another archive saved under this name."
        )
    if axes is not None and count != axes:
        raise DataError(
            f"{path} holds {count} axes (magic 0x{magic:08x}), expected {_expected(axes)}. "
            f"Images and labels may be exchanged."
        )
    header = 4 + 4 * count
    lengths = file.read(4 * count)
    if len(lengths) < 4 * count:
        raise DataError(
            f"{path} is truncated within its header: {4 + len(lengths)} of {header} bytes."
        )
    shape = struct.unpack(f">{count}I", lengths)
    dtype = np.dtype(_TYPES[kind])
    size = math.prod(shape) * dtype.itemsize
    if zipped and size > max(_LARGE, _GROWTH * path.stat().st_size):
        raise DataError(
            f"{path} would grow to {size:,} bytes when unpacked, more than {_GROWTH} times its size, "
            "as no real set does. If it is one, unpack it first."
        )
    content = _content(file, size)
    if len(content) != size:
        more = len(content) > size
        got = f"more than {header + size:,}" if more else f"{header + len(content):,}"
        raise DataError(
            f"{path} {'is too long' if more else 'is truncated'}: an array of shape "
            f"{_shown(shape)} takes {header + size:,} bytes, the file has {got}. Fetch it again."
        )
    try:
        array = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:  # more axes than NumPy has, or empty ones beside very long ones
        raise DataError(
            f"{path} holds an array of shape {_shown(shape)}, which cannot be: {sentence(error)}"
        ) from None
    return array.astype(dtype.newbyteorder("="))


def _content(file: IO[bytes], size: int) -> bytes:
    """Return `size` bytes, or one more if there are more; less where there are less.

    What a header asks for is not trusted: no memory is taken for what the file does not have.
    """
    parts, left = [], size + 1
    while left and (part := file.read(min(left, _PIECE))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _shown(shape: tuple[int, ...]) -> str:
    return str(shape) if len(shape) <= 4 else f"({', '.join(map(str, shape[:4]))}, …)"


def _expected(axes: int | None) -> str:
    return "0x000008 and the number of axes" if axes is None else f"0x{0x0800 + axes:08x}"
