"""The schedules and wrappers that `thalweg list` and `thalweg explain` know by name."""

from __future__ import annotations

from typing import Any


def schedules() -> dict[str, Any]:
    """Return every schedule by name."""
    from thalweg import schedules as package

    return {name: getattr(package, name) for name in package.__all__ if name != "Schedule"}


def wrappers() -> dict[str, Any]:
    """Return every wrapper of optimizers by name."""
    from thalweg import meta

    known = {name: getattr(meta, name) for name in meta.__all__ if name != "Wrapper"}
    return {name: made for name, made in known.items() if isinstance(made, type)}
