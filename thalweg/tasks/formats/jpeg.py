"""A JPEG file at an eighth of its size: the mean colour of each block of 8 × 8 pixels.

A block's first coefficient is its mean. Reading only these needs no cosine transform, so the result
does not depend on a decoder's arithmetic, and no imaging library.
"""

from __future__ import annotations

import struct

import numpy as np

from thalweg.errors import DataError

_QUANTISATION, _FRAME, _HUFFMAN, _RESTART, _SCAN = 0xDB, 0xC0, 0xC4, 0xDD, 0xDA
Code = list[tuple[int, int]]
"""Length and symbol for each 16 bits that may follow."""


def thumbnail(content: bytes) -> np.ndarray:
    """Return the block means (height // 8, width // 8, 3) as RGB from 0 to 1.

    `content` is a baseline JPEG file with three components and no subsampling. Raises DataError for
    others.
    """
    try:
        return _decode(content)
    except DataError:
        raise
    except (KeyError, IndexError, ValueError, struct.error):
        raise DataError("The file is not a JPEG file, or is cut off.") from None


def _decode(content: bytes) -> np.ndarray:
    quantisers: dict[int, int] = {}
    codes: dict[int, Code] = {}
    place, height, width, tables = 2, 0, 0, [0, 0, 0]
    while content[place] == 0xFF:
        marker, size = content[place + 1], struct.unpack_from(">H", content, place + 2)[0]
        body = content[place + 4 : place + 2 + size]
        place += 2 + size
        if marker == _QUANTISATION:
            quantisers |= {body[i]: body[i + 1] for i in range(0, len(body), 65)}
        elif marker == _FRAME:
            height, width = struct.unpack_from(">HH", body, 1)
            if len(body) != 15 or bytes(body[7::3]) != b"\x11\x11\x11":
                raise DataError("Only JPEG files with three components, none subsampled, are read.")
            tables = list(body[8::3])
        elif marker == _HUFFMAN:
            codes |= _codes(body)
        elif 0xC1 <= marker <= 0xCF or marker == _RESTART:
            raise DataError("Only baseline JPEG files without restarts are read.")
        elif marker == _SCAN:
            pairs = [(codes[t >> 4], codes[16 + (t & 15)]) for t in body[2:7:2]]
            shape = (-(-height // 8), -(-width // 8), 3)
            means = np.reshape(_first(content[place:], pairs, shape[0] * shape[1]), shape)
            scale = np.array([quantisers[table] for table in tables]) / 8
            return _rgb(means[: height // 8, : width // 8] * scale)
    raise IndexError("no scan")


def _codes(body: bytes) -> dict[int, Code]:
    """Return the Huffman tables of a segment, those of first coefficients under 0, 1, … and those
    of the others under 16, 17, ….
    """
    tables = {}
    while body:
        counts, symbols = body[1:17], body[17:]
        table: Code = []
        read = 0
        for length, number in enumerate(counts, 1):
            for symbol in symbols[read : read + number]:
                table += [(length, symbol)] * (1 << (16 - length))
                if len(table) > 1 << 16:
                    raise IndexError("more codes than 16 bits can tell apart")
            read += number
        tables[body[0]] = table + [(16, 0)] * ((1 << 16) - len(table))
        body = symbols[read:]
    return tables


def _first(scan: bytes, pairs: list[tuple[Code, Code]], blocks: int) -> list[int]:
    """Return the first coefficient of each component of each block, summed up from differences."""
    bits = scan.replace(b"\xff\x00", b"\xff") + bytes(8)
    place, means, values = 0, [0, 0, 0], []

    def peek(count: int) -> int:
        start = place >> 3
        word = int.from_bytes(bits[start : start + 5], "big")
        return (word >> (40 - (place & 7) - count)) & ((1 << count) - 1)

    for _ in range(blocks):
        for component, (first, others) in enumerate(pairs):
            length, size = first[peek(16)]
            place += length
            value = peek(size)
            place += size
            if size and not value >> (size - 1):  # negative: Annex F.2.2.1 of ITU-T T.81
                value += 1 - (1 << size)
            means[component] += value
            values.append(means[component])
            index = 1
            while index < 64:
                length, symbol = others[peek(16)]
                place += length + (symbol & 15)
                if not symbol:  # no more coefficients in this block
                    break
                index += 1 + (symbol >> 4)
        if place >> 3 > len(scan):
            raise IndexError("the scan is cut off")
    return values


def _rgb(means: np.ndarray) -> np.ndarray:
    """Return RGB from 0 to 1 for Y, Cb, Cr around zero (JFIF)."""
    y, cb, cr = np.moveaxis(means, 2, 0)
    y = y + 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=2)
    return np.clip(rgb / 255, 0, 1)
