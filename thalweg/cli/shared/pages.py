"""What commands that write pages of runs share: where pages and runs are."""

from __future__ import annotations

from pathlib import Path


def checked_pages(html: Path | None, svg: Path | None, what: str, *, over: bool) -> None:
    """Raise TaskError for a page or picture that may not be written, before anything is computed."""
    from thalweg.report.parts.target import free_file, free_page

    if html is not None:
        free_page(html, what, "--html", over=over)
    if svg is not None:
        free_file(svg, "The picture", "--svg", ".svg", over=over)


def run_folder(run: Path, parent: Path) -> Path:
    """Return the folder of a run that is given as such, or by its name in `parent`.

    Raises:
        TaskError: where there is none.
    """
    from thalweg.errors import TaskError, suggest
    from thalweg.train import find_runs
    from thalweg.train.folder.layout import RUN

    for folder in (run, parent / run):
        if (folder / RUN).is_file():
            return folder
    known = [each.name for each in find_runs(parent)]
    hint = suggest(run.name, known) if known else " thalweg train TASK makes one."
    raise TaskError(f"There is no run {str(run)!r}: it has no {RUN}.{hint}")
