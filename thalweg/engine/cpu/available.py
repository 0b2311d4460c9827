"""Whether this machine can compile kernels at all."""

from __future__ import annotations

from functools import cache


@cache
def fused_problem() -> str | None:
    """Return why no program can be fused on this machine, or None."""
    try:
        import llvmlite.binding  # noqa: F401
    except (ImportError, OSError) as error:
        return f"llvmlite cannot be imported ({error})"
    return None
