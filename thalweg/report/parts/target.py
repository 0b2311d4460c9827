"""Where a page or a picture is written: a file of its own, over nothing that is there."""

from __future__ import annotations

import os
from pathlib import Path

from thalweg.errors import TaskError


def free_page(path: str | os.PathLike[str], what: str, option: str, *, over: bool = False) -> Path:
    """Return the path of a page that may be written.

    Args:
        path: the file.
        what: what it is, as a sentence begins with it: "The page of a lab".
        option: which option of the command line names it.
        over: whether a file that is there may be replaced.

    Raises:
        TaskError: for what does not end in .html, a folder, a place that cannot be written to, and a file
            that is there, unless `over`.
    """
    return free_file(path, what, option, ".html", over=over)


def free_file(
    path: str | os.PathLike[str], what: str, option: str, ending: str, *, over: bool = False
) -> Path:
    """Return the path of a file that may be written, as `free_page` does; `ending` is that of its name.

    >>> free_file("bowl.mp4", "An animated picture", "--gif", ".gif")
    Traceback (most recent call last):
    ...
    thalweg.errors.TaskError: An animated picture must be a file that ends in .gif; got bowl.mp4.
    """
    file = Path(path)
    if file.suffix.lower() != ending:
        raise TaskError(f"{what} must be a file that ends in {ending}; got {file}.")
    if file.is_dir():
        raise TaskError(f"{file} is a folder; expected a file to write.")
    check_place(file)
    if file.exists() and not over:
        raise TaskError(
            f"{file} exists. --force writes over it; or name another file with {option}."
        )
    return file


def check_place(file: Path) -> None:
    """Raise TaskError where a file cannot be written, before hours go into what it is to hold.

    >>> check_place(Path(__file__) / "page.html")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    thalweg.errors.TaskError: ...page.html cannot be written: ...target.py is no folder. Name another place.
    """
    folder = next(each for each in file.absolute().parents if each.exists())
    if not folder.is_dir():
        raise TaskError(f"{file} cannot be written: {folder} is no folder. Name another place.")
    if not os.access(folder, os.W_OK) and not os.access(file, os.W_OK):
        raise TaskError(
            f"{file} cannot be written: the folder {folder} may not be written to. Name another place."
        )
