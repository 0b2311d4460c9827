"""`thalweg race`: which optimizer trains a task fastest."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.options import BatchSizeOption
from thalweg.cli.shared.values import path_of

if TYPE_CHECKING:
    from thalweg.race import Race

EXAMPLES = (
    "thalweg race digits",
    "thalweg race digits --optimizers adam,adam+cosine,lion,prodigy",
    "thalweg race my_task.py --epochs 30 --target 0.9",
    "thalweg race my_task.py:make --lrs 1e-3,1e-2,1e-1 --out results",
    "thalweg race digits -o adamw,lion --tune weight_decay=log:1e-4:1 --trials 30",
    "thalweg race digits breast_cancer photo",
    "thalweg race digits --optimizers adam,my_rule.py:mine",
    "thalweg race digits --json > race.json",
)


_OF_COMMAND = ("tasks", "tune", "out", "engine", "as_json")
"""Parameters of the command that are not arguments of a race, or not of one race."""


def _moved(value: str | None) -> None:
    if value is not None:
        raise typer.BadParameter(f"Where a race runs is its executor: --executor {value}.")


def race(
    context: typer.Context,
    tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK...",
            help="A built-in task, file.py, file.py:function or module:function; or several.",
        ),
    ],
    entrants: Annotated[
        str | None,
        typer.Option(
            "--optimizers",
            "--entrants",
            "-o",
            help="Entrants, separated by commas; adam@he+cosine: initializer and schedule; "
            "file.py:name: one of your own.",
            show_default="the usual six",
        ),
    ] = None,
    lrs: Annotated[
        str | None,
        typer.Option(
            help="Learning rates for all, separated by commas.", show_default="a grid for each"
        ),
    ] = None,
    tune: Annotated[
        list[str] | None,
        typer.Option(
            help="Also search: momentum=0.5:0.99, weight_decay=log:1e-5:1, nesterov=true|false.",
            show_default="the learning rate alone",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Points that tune each entrant.", show_default="9")
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(help="grid, quasi-random, halving or tpe.", show_default="grid"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds that tune.")] = 3,
    final_seeds: Annotated[int, typer.Option(help="Other seeds that judge.")] = 8,
    more_seeds: Annotated[
        int | None,
        typer.Option(
            help="Seeds added where they decide: for close points, then for possible winners; 0: none.",
            show_default="as many again",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the training set in a trial.", show_default="the task's own"
        ),
    ] = None,
    batch_size: BatchSizeOption = None,
    target: Annotated[
        float | None,
        typer.Option(help="Validation figure to reach.", show_default="the task's own"),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="What decides: steps, seconds or gradients.",
            show_default="steps, or gradients where they differ",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the records and the report.",
            show_default="race-TASK",
            parser=path_of,
            metavar="PATH",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run finished trials again.")] = False,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where models train, such as cuda.", show_default="as the task builds them"
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads of torch.", show_default="1 for a small model alone"),
    ] = None,
    stack: Annotated[
        bool | None,
        typer.Option(
            "--stack/--no-stack",
            help="Train models together as one program.",
            show_default="where it pays",
        ),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            help="local, or ray for the workers of a Ray cluster, which is fully trusted."
        ),
    ] = "local",
    engine: Annotated[
        str | None, typer.Option(hidden=True, callback=_moved, help="See --executor.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Trials or stacks at once.", show_default="one for each core"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON document.")
    ] = False,
) -> None:
    """Race optimizers on a task: which one trains it fastest?

    Every entrant is tuned with the same budget, and judged at its best
    on other seeds. A seed gives all of them the same initial weights and
    the same order of the data. Finished trials are on disk at once:
    after Ctrl-C or a crash, the same command goes on from there.
    """
    from thalweg.cli.shared.racing import run_races
    from thalweg.cli.shared.values import entrants_of, rates, read_spelled, spaces

    settings = {name: value for name, value in context.params.items() if name not in _OF_COMMAND}
    settings |= {
        "entrants": entrants_of(read_spelled(entrants), spaces(tune)),
        "lrs": rates(lrs),
        "batch_size": "task" if batch_size is None else batch_size or None,
        "command": shlex.join(["thalweg", *sys.argv[1:]]),
    }
    run_races(_contests(tasks, out, settings), out, as_json=as_json)


def _contests(tasks: list[str], out: Path | None, settings: dict[str, Any]) -> list[Race]:
    """The races, all prepared before the first one runs: a mistake in the last task costs nothing."""
    from thalweg.errors import TaskError
    from thalweg.race import Race
    from thalweg.report.parts.target import check_place
    from thalweg.tasks import load_task

    if out is not None and out.exists() and not out.is_dir():
        raise TaskError(f"{out} is a file; --out expects a folder.")
    if out is not None:
        check_place(out)
    if len(tasks) == 1:
        folders: dict[str, str | Path] = {tasks[0]: "race-{task}" if out is None else out}
    else:
        folder = "race-{task}" if out is None else str(out / "{task}")
        folders = dict.fromkeys(tasks, folder)
    loaded = {name: load_task(name) for name in folders}
    names = [task.name for task in loaded.values()]
    for name in names:
        if names.count(name) > 1:
            raise TaskError(f"Two of the tasks are called {name!r}: give each its own name.")
    contests = [Race(task, **settings, out=folders[name]) for name, task in loaded.items()]
    for contest in contests:
        contest.prepare()
    return contests
