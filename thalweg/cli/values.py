"""Values of options that typer has no type for: lists of names and of numbers."""

from __future__ import annotations

from thalweg.errors import TaskError


def names(text: str | None) -> list[str] | None:
    """Read names parted by commas.

    >>> names("sgd, adam")
    ['sgd', 'adam']
    """
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def rates(text: str | None) -> list[float] | None:
    """Read learning rates parted by commas.

    >>> rates("1e-3,0.01")
    [0.001, 0.01]
    """
    found = names(text)
    if found is None:
        return None
    if not found:
        raise TaskError("--lrs is empty; it expects numbers parted by commas, such as 1e-3,1e-2.")
    try:
        return [float(part) for part in found]
    except ValueError:
        raise TaskError(
            f"--lrs expects numbers parted by commas, such as 1e-3,1e-2; got {text!r}."
        ) from None
