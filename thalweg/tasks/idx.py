"""IDX files, the format of MNIST: a big-endian header, then the bytes of the array.

Header: two zero bytes, a type byte (8: unsigned byte), the number of axes, then the length of each
axis as 32-bit numbers. Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten
digits.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from thalweg.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path, axes: int | None = None) -> np.ndarray:
    """Return the array in an IDX file, plain or compressed (`.gz`).

    `axes` is the number of axes expected: 3 for images, 1 for labels. Raises DataError, naming the
    file, what was expected and what was found, for a file that is missing, truncated, too long, or
    not IDX.
    """
    path = Path(path)
    content = _content(path)
    if len(content) < 4:
        raise DataError(
            f"{path} is truncated: it has {len(content)} bytes, too few for an IDX header."
        )
    zero, kind, count = struct.unpack(">HBB", content[:4])
    magic = int.from_bytes(content[:4], "big")
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
    if len(content) < header:
        raise DataError(f"{path} is truncated within its header: {len(content)} of {header} bytes.")
    shape = struct.unpack(f">{count}I", content[4:header])
    dtype = np.dtype(_TYPES[kind])
    expected = header + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        problem = "is truncated" if len(content) < expected else "is too long"
        raise DataError(
            f"{path} {problem}: an array of shape {shape} takes {expected:,} bytes, the file has "
            f"{len(content):,}. Fetch it again."
        )
    array = np.frombuffer(content, dtype, offset=header).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if content[:2] != b"\x1f\x8b":  # told by its content: some programs unpack and keep the name
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{path} is a truncated or broken gzip file ({error}). Fetch it again."
        ) from None


def _expected(axes: int | None) -> str:
    return "0x000008 and the number of axes" if axes is None else f"0x{0x0800 + axes:08x}"
