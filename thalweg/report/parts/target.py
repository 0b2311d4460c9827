"""Where a page is written: a file of its own, over nothing that is there."""

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

    Raises TaskError for what does not end in .html, a folder, and a file that is there, unless `over`.
    """
    page = Path(path)
    if page.suffix.lower() != ".html":
        raise TaskError(f"{what} is a file that ends in .html; got {page}.")
    if page.is_dir():
        raise TaskError(f"{page} is a folder; expected a file to write.")
    if page.exists() and not over:
        raise TaskError(
            f"{page} exists. --force writes over it; or name another file with {option}."
        )
    return page
