"""Compiled loops over Python objects: how they are called, and how they read what they are called with.

A loop is given Python objects and the address of a block of words, its other arguments: each argument that
ctypes converts costs as much as a tensor.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, NamedTuple

from thalweg.engine.cpu.native import loop


class Called(NamedTuple):
    """A compiled function, and the block that it is called with: two addresses."""

    function: int
    block: int


@cache
def compiled_loop(text: str, name: str, objects: int) -> Any:
    """Return the compiled function `name` of an LLVM text, which takes so many objects and a block.

    It is called with the GIL held; an error that it leaves set is raised on return.
    """
    given: list[Any] = [*[ctypes.py_object] * objects, ctypes.c_void_p]
    return ctypes.PYFUNCTYPE(ctypes.c_int64, *given)(loop_address(text, name))


@cache
def loop_address(text: str, name: str) -> int:
    """Return the address of the compiled function `name` of an LLVM text, for another one to call."""
    return loop(text, name).address


def arguments(**kinds: str) -> str:
    """Return the LLVM text that reads the words of the block `%call`, in their order, by these names.

    >>> print(arguments(n="i64", get="ptr"))
      %n_at = getelementptr i64, ptr %call, i64 0
      %n = load i64, ptr %n_at
      %get_at = getelementptr i64, ptr %call, i64 1
      %get = load ptr, ptr %get_at
    <BLANKLINE>
    """
    return "".join(
        f"  %{name}_at = getelementptr i64, ptr %call, i64 {k}\n"
        f"  %{name} = load {kind}, ptr %{name}_at\n"
        for k, (name, kind) in enumerate(kinds.items())
    )
