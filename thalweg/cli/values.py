"""Values of options that typer has no type for: lists of names and of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.errors import TaskError

if TYPE_CHECKING:
    from thalweg.race.entrants.entrant import Entrant
    from thalweg.race.entrants.space import Space


def path_of(text: str) -> Path:
    """Read a path; an empty text is none, though `Path` takes it for the working folder.

    >>> path_of("out").name
    'out'
    """
    import typer

    if not text:
        raise typer.BadParameter("A path is expected, got an empty text.")
    return Path(text)


def read_names(text: str | None) -> list[str] | None:
    """Read names parted by commas.

    >>> read_names("sgd, adam")
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
    found = read_names(text)
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


def spaces(texts: list[str] | None) -> dict[str, Space]:
    """Read what else is to be searched, as `race.space.parse_space` reads it.

    >>> list(spaces(["momentum=0.5:0.99", "nesterov=true|false"]))
    ['momentum', 'nesterov']
    """
    from thalweg.race.entrants.space import parse_space

    return dict(parse_space(text) for text in texts or ())


def entrants_of(
    called: list[str] | None, searched: Mapping[str, Space]
) -> list[str] | list[Entrant] | None:
    """Return who takes part, each with what is searched of it.

    An optimizer that does not have a hyperparameter takes part without it; one that nobody has is a
    mistake.
    """
    if not searched:
        return called
    from thalweg.race.entrants.known import DEFAULT_ENTRANTS, find_entrant
    from thalweg.race.entrants.shared_search import with_search

    return with_search([find_entrant(name) for name in called or DEFAULT_ENTRANTS], searched)
