"""Read from an object file which names it defines and which it needs.

LLVM ends the process where it links a name that the process does not have, so a kernel that may have been
compiled beside another C library is asked first. Its tables are read here; llvmlite shows sections, no names.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_ELF_64 = b"\x7fELF\x02"
_SYMBOLS = 2
"""The type of the section that holds the table of symbols."""
_GLOBAL = 1
"""The binding of a symbol that must be found; a weak one may be missing."""


@dataclass(frozen=True)
class Symbols:
    """The names of an object file."""

    defined: frozenset[str]
    needed: frozenset[str]


def symbols(code: bytes) -> Symbols | None:
    """Return the names of an ELF object file of 64 bits; None for another format.

    Raises:
        ValueError: if the file is broken.
    """
    if not code.startswith(_ELF_64):
        return None
    try:
        return _elf_symbols(code)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ValueError("the object file is broken") from error


def _elf_symbols(code: bytes) -> Symbols:
    order = {1: "<", 2: ">"}.get(code[5])
    if order is None:
        raise ValueError("the object file is broken")
    (start,) = struct.unpack_from(f"{order}Q", code, 0x28)
    size, count = struct.unpack_from(f"{order}HH", code, 0x3A)
    section = struct.Struct(f"{order}IIQQQQIIQQ")  # name type flags address offset size link …
    sections = [section.unpack_from(code, start + k * size) for k in range(count)]
    defined: set[str] = set()
    needed: set[str] = set()
    for _, kind, _, _, offset, length, link, *_ in sections:
        if kind == _SYMBOLS:
            names = sections[link][4]
            symbol = struct.Struct(f"{order}IBBHQQ")  # name binding-and-type visibility section …
            for at in range(offset, offset + length - symbol.size + 1, symbol.size):
                name, info, _, home, *_ = symbol.unpack_from(code, at)
                if info >> 4 == _GLOBAL:
                    (needed if home == 0 else defined).add(_text(code, names + name))
    return Symbols(frozenset(defined), frozenset(needed))


def _text(code: bytes, at: int) -> str:
    """Return the text that ends with a zero byte."""
    return code[at : code.index(b"\0", at)].decode("ascii")
