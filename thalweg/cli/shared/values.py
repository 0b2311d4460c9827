"""Values of options that typer has no type for: lists of names and of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import TaskError
from thalweg.numeric import as_seed, plain_value

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


def seed_of(text: str) -> int:
    """Read a seed, as generators take it.

    >>> seed_of("7")
    7
    """
    import typer

    try:
        seed = as_seed(int(text))
    except ValueError:
        seed = None
    if seed is None:
        raise typer.BadParameter(f"A seed is a whole number from 0 to 2⁶³ − 1; got {text!r}.")
    return seed


def read_names(text: str | None) -> list[str] | None:
    """Read names separated by commas.

    >>> read_names("sgd, adam")
    ['sgd', 'adam']
    """
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def read_spelled(text: str | None) -> list[str] | None:
    """Read names separated by commas, each with arguments behind a colon, which commas separate, too.

    >>> read_spelled("sgd, adam@truncated_normal:std=0.02,cut=3, lion")
    ['sgd', 'adam@truncated_normal:std=0.02,cut=3', 'lion']
    """
    found: list[str] = []
    for name in read_names(text) or ():
        if found and "=" in name and ":" in found[-1] and ":" not in name.partition("=")[0]:
            found[-1] += f",{name}"
        else:
            found.append(name)
    return None if text is None else found


def checked_rate(lr: float | None) -> None:
    """Raise TaskError for a learning rate of `--lr` that is not a positive number."""
    if lr is not None and not 0 < lr < float("inf"):
        raise TaskError(f"A learning rate must be a positive number, got --lr {lr:g}.")


def checked_page(path: Path | None, option: str = "--html") -> None:
    """Raise TaskError for the page of an option that does not end in .html, or cannot be written."""
    if path is None:
        return
    if path.suffix.lower() != ".html":
        raise TaskError(
            f"{option} must be the page to write, a file that ends in .html; got {path}."
        )
    from thalweg.report.parts.target import check_place

    check_place(path)


def rates(text: str | None) -> list[float] | None:
    """Read learning rates separated by commas.

    >>> rates("1e-3,0.01")
    [0.001, 0.01]
    """
    found = read_names(text)
    if found is None:
        return None
    if not found:
        raise TaskError(
            "--lrs is empty; it expects numbers separated by commas, such as 1e-3,1e-2."
        )
    try:
        return [float(part) for part in found]
    except ValueError:
        raise TaskError(
            f"--lrs expects numbers separated by commas, such as 1e-3,1e-2; got {text!r}."
        ) from None


def spaces(texts: list[str] | None) -> dict[str, Space]:
    """Read the hyperparameters to search, each as `parse_space` reads it.

    >>> list(spaces(["momentum=0.5:0.99", "nesterov=true|false"]))
    ['momentum', 'nesterov']
    """
    from thalweg.race.entrants.space import parse_space

    return dict(parse_space(text) for text in texts or ())


def entrants_of(
    called: list[str] | None, searched: Mapping[str, Space]
) -> list[str] | list[Entrant] | None:
    """Return the entrants, each with those of the searched hyperparameters that it has.

    A hyperparameter that no entrant has is an error.
    """
    if not searched:
        return called
    from thalweg.race.entrants.known import DEFAULT_ENTRANTS, find_entrant
    from thalweg.race.entrants.shared_search import with_search

    return with_search([find_entrant(name) for name in called or DEFAULT_ENTRANTS], searched)


def settings_of(texts: list[str] | None) -> dict[str, Any]:
    """Read hyperparameters, each NAME=VALUE: a number, true, false, none, a text, or several with commas.

    >>> settings_of(["weight_decay=1e-2", "betas=0.9,0.99", "amsgrad=true"])
    {'weight_decay': 0.01, 'betas': (0.9, 0.99), 'amsgrad': True}
    """
    found: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (equals and name.isidentifier() and value):
            raise TaskError(
                f"--set expects NAME=VALUE, such as --set weight_decay=0.01; got {text!r}."
            )
        if name in found:
            raise TaskError(f"--set gives {name!r} twice.")
        parts = [plain_value(part.strip()) for part in value.split(",")]
        found[name] = parts[0] if len(parts) == 1 else tuple(parts)
    return found
