"""Generated text as Triton's kernels.

Triton reads the source of a kernel. The text is put into `linecache`, where Python's `inspect` looks for the
source of code that has no file: so no file is written that anybody could change before it is run, and what
Triton compiles is what was printed. Triton keeps its machine code in a cache of its own.
"""

from __future__ import annotations

import hashlib
import linecache
from functools import cache
from typing import Any

from thalweg.engine.triton.available import is_interpreting
from thalweg.errors import EngineError


@cache
def jit(text: str, name: str, plain: tuple[str, ...] = ("count",)) -> Any:
    """Return the function `name` of a text as a kernel to launch: compiled, or interpreted on the CPU.

    The text is made of a program's values (vocabulary, generated names, numbers), never of what a user typed.
    No value of a `plain` argument makes a kernel of its own.

    Raises:
        EngineError: the interpreter was asked for after Triton had been imported.
    """
    import triton
    import triton.language as tl

    _check_mode(tl)
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    file = f"<thalweg-triton-{name}-{digest}>"
    lines = text.splitlines(keepends=True)
    linecache.cache[file] = (len(text), None, lines, file)
    # a module of this name is never made: `inspect` takes the source from the cache alone
    namespace: dict[str, Any] = {
        "tl": tl,
        "lib": _functions(),
        "__name__": f"thalweg.printed.{name}",
    }
    exec(compile(text, file, "exec"), namespace)  # noqa: S102
    made = triton.jit(namespace[name], do_not_specialize=list(plain))
    if is_interpreting():
        made.rewrite()  # it reads the source now, as the compiler does
    return made


def _functions() -> Any:
    """Return the functions that are not an instruction: libdevice's, or NumPy's in the interpreter."""
    if is_interpreting():
        from thalweg.engine.triton.interpreted import functions

        return functions()
    from triton.language.extra import libdevice

    return libdevice


def _check_mode(tl: Any) -> None:
    """Refuse to mix: Triton decides for its own functions when it is imported."""
    own = type(tl.sum).__name__ == "InterpretedFunction"
    if own != is_interpreting():
        was = "with" if own else "without"
        raise EngineError(
            f"TRITON_INTERPRET was changed after Triton had been imported {was} it. Set it before "
            "Python starts."
        )
