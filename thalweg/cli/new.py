"""`thalweg new`: a file to start from."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import Annotated

import typer

from thalweg.cli.shared.values import path_of
from thalweg.cli.train import RUNS

EXAMPLES = (
    "thalweg new task",
    "thalweg new task wine.py",
    "thalweg new task ridge.py --kind function",
)

TASK_KINDS = {
    "arrays": "NumPy arrays or tensors in memory",
    "dataset": "a torch Dataset or DataLoader",
    "function": "a function to be minimized",
}

_NAMES = {"function": "ridge"}
"""What a starter calls its task, where it is not called after its file."""


def new(
    thing: Annotated[str, typer.Argument(metavar="THING", help="What to write: task.")],
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where.", parser=path_of)] = Path(
        "my_task.py"
    ),
    kind: Annotated[
        str,
        typer.Option(help=" or ".join(TASK_KINDS) + ": what the task is made of."),
    ] = "arrays",
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
) -> None:
    """Write a task file to start from: it runs as it is, with comments where your parts go.

    Kinds: arrays (NumPy arrays or tensors in memory), dataset (a torch
    Dataset or DataLoader), function (a function to be minimized).
    """
    from thalweg.cli.shared.console import err, out
    from thalweg.files import write_text

    _check(thing, file, kind, force=force)
    write_text(file, template(kind).replace("my_task.py", file.as_posix()))
    err().print(
        f"Wrote {file}: {TASK_KINDS[kind]}. It runs as it stands.", markup=False, soft_wrap=True
    )
    for command in _next_commands(file, kind):
        out().print(f"  {command}", markup=False, soft_wrap=True)


def _next_commands(file: Path, kind: str) -> list[str]:
    """Return what can be done with the file, from training to prediction; each runs as it stands."""
    shown = shlex.quote(str(file))
    numbers = itertools.count(1)
    name = _NAMES.get(kind, file.stem)
    run = next(r for n in numbers if not (RUNS / (r := f"{name}-adam-{n}")).exists())
    classes = "" if kind == "function" else " --output class"
    return [
        f"thalweg train {shown}",
        "thalweg runs",
        f"thalweg runs open {run}",
        f"thalweg predict {run} validation{classes}",
        f"thalweg race {shown}",
    ]


def template(kind: str) -> str:
    """Return the text of the starter file of a kind."""
    from importlib.resources import files

    folder = files("thalweg.tasks") / "templates"
    return (folder / f"{kind}.py.txt").read_text(encoding="utf-8")


def _check(thing: str, file: Path, kind: str, *, force: bool) -> None:
    from thalweg.errors import TaskError, suggest

    if thing != "task":
        raise TaskError(
            f"There is no {thing!r} to write.{suggest(thing, ['task'])} `thalweg new task [FILE]` "
            "writes a task."
        )
    if kind not in TASK_KINDS:
        raise TaskError(
            f"There is no kind {kind!r} of task.{suggest(kind, TASK_KINDS)} There are: "
            f"{', '.join(TASK_KINDS)}."
        )
    if file.suffix != ".py":
        raise TaskError(
            f"A task file ends in .py; got {file}. Did you mean {file.with_suffix('.py')}?"
        )
    if not file.stem.isidentifier():
        raise TaskError(
            f"{file.name} cannot be imported under this name: expected letters, digits and "
            "underscores, such as my_task.py."
        )
    if file.is_dir():
        raise TaskError(f"{file} is a folder; expected a file to write.")
    if file.exists() and not force:
        raise TaskError(f"{file} exists. --force writes over it; or name another file.")
