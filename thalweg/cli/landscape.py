"""`thalweg landscape`: the loss on a plane through runs, with the paths that they took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.values import path_of, seed_of
from thalweg.cli.train import RUNS
from thalweg.numeric import plural

if TYPE_CHECKING:
    from thalweg.landscape.evaluated import LossAt
    from thalweg.tasks import Task
    from thalweg.train import SavedRun

EXAMPLES = (
    "thalweg landscape digits-sgd-1 digits-adam-1 --html landscape.html",
    "thalweg landscape digits-adam-1 --plane random --points 25 --svg landscape.svg",
    "thalweg landscape digits-adam-1 --rows 256 --json",
)
PLANES = ("pca", "random")
_EVERY = 5.0
"""Seconds between two lines of progress, where there is no terminal."""


def landscape(
    names: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…",
            help="Runs of one task: their folders, or names in runs.",
            parser=path_of,
        ),
    ],
    plane: Annotated[
        str,
        typer.Option(help="pca: of the paths; random: two directions at the end of the first run."),
    ] = "pca",
    points: Annotated[int, typer.Option(help="Points along the longer side of the plane.")] = 41,
    rows: Annotated[int, typer.Option(help="Rows of the training set that are used.")] = 1024,
    span: Annotated[
        float, typer.Option(help="With random: how far it reaches, in norms of filters.")
    ] = 1.0,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of random directions and of the choice of rows.", parser=seed_of, metavar="N"
        ),
    ] = 0,
    html: Annotated[
        Path | None,
        typer.Option(help="Page to write.", parser=path_of, metavar="PATH", show_default="none"),
    ] = None,
    svg: Annotated[
        Path | None,
        typer.Option(help="Picture to write.", parser=path_of, metavar="PATH", show_default="none"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show the loss on a plane through the parameters of runs.

    The plane is that of the first two principal components of the paths, kept
    by `thalweg train --keep-path`; or of two random directions, with filters
    as long as the model's. The command first prints how many evaluations that takes.
    Ctrl-C ends it early, and keeps what was computed.
    """
    from thalweg.cli.shared.exits import INTERRUPTED
    from thalweg.cli.shared.pages import checked_pages
    from thalweg.landscape.page import write_landscape_page
    from thalweg.landscape.picture import write_landscape_picture
    from thalweg.train.machine.threads import torch_threads

    _check(plane, points, rows, span)
    checked_pages(html, svg, "The page of a landscape", over=force)
    runs = _runs(names)
    with torch_threads(1):
        record = _record(runs, plane=plane, points=points, rows=rows, span=span, seed=seed)
    _show(record, as_json=as_json)
    if html is not None:
        write_landscape_page(record, html, over=force)
    if svg is not None:
        write_landscape_picture(record, svg, over=force)
    if record["interrupted"]:
        raise typer.Exit(INTERRUPTED)


def _check(plane: str, points: int, rows: int, span: float) -> None:
    from thalweg.errors import TaskError, suggest
    from thalweg.whole import whole_number

    if plane not in PLANES:
        raise TaskError(f"--plane must be pca or random; got {plane!r}.{suggest(plane, PLANES)}")
    whole_number("--points", points, 3)
    whole_number("--rows", rows)
    if not 0 < span < float("inf"):
        raise TaskError(f"--span must be a number above 0; got {span:g}.")


def _runs(names: list[Path]) -> list[SavedRun]:
    from thalweg.cli.shared.pages import run_folder
    from thalweg.errors import CheckpointError, TaskError, check_each_once
    from thalweg.train import load_run

    check_each_once("run", list(map(str, names)))
    try:
        return [load_run(run_folder(name, RUNS)) for name in names]
    except CheckpointError as error:
        raise TaskError(str(error)) from None


def _record(
    runs: list[SavedRun], *, plane: str, points: int, rows: int, span: float, seed: int
) -> dict[str, Any]:
    from thalweg.landscape.evaluated import seconds_each
    from thalweg.landscape.record import grid_for, landscape_record, plane_for
    from thalweg.landscape.runs import ways_of

    task = runs[0].task
    model, loss, used = _loss(task, rows, seed)
    ways = ways_of(runs, model)
    shapes = [tuple(p.shape) for p in model.parameters()]
    grid = grid_for(plane_for(ways, shapes, plane=plane, seed=seed), ways, points, span)
    count = len(grid.cells) + 2 * sum(len(way.steps) for way in ways)
    each = seconds_each(loss, ways[0].points[-1])
    with _progress(count, used, each) as show:
        return landscape_record(
            ways,
            grid,
            loss,
            show,
            task=task.name,
            rows=used,
            parameters=sum(p.numel() for p in model.parameters()),
            seed=seed,
        )


def _loss(task: Task, rows: int, seed: int) -> tuple[Any, LossAt, int]:
    """Return a model of a task, its loss as a function of the parameters, and over how many rows."""
    import torch

    from thalweg.landscape.evaluated import LossAt
    from thalweg.objective.weighted import count_rows
    from thalweg.train.restored.randomness import isolated, seed_weights
    from thalweg.train.sharpness_along import some_batches

    with isolated():
        seed_weights(0, torch.device("cpu"))
        model = task.bare()
    (batch, *_) = some_batches(task, model, rows, rows, seed)
    return model, LossAt(model, task.cost, batch), count_rows(batch[1], batch[0])


@contextmanager
def _progress(count: int, rows: int, each: float) -> Iterator[Callable[[int, int], None]]:
    """Say what it costs, and give a function that shows progress inside the block."""
    import os

    from thalweg.cli.shared.console import err
    from thalweg.report import duration

    console, cores = err(), len(os.sched_getaffinity(0))
    console.print(
        f"{plural(count, 'evaluation')} of {plural(rows, 'row')}, about {duration(count * each / cores)} on "
        f"{cores} core{'s' * (cores > 1)}.",
        markup=False,
        soft_wrap=True,
    )
    if console.is_terminal:
        from rich.progress import Progress

        with Progress(console=console, transient=True) as bar:
            row = bar.add_task("evaluations", total=count)
            yield lambda done, of: bar.update(row, completed=done, total=of)
        return
    last = time.monotonic()

    def show(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            console.print(f"{done:,} of {of:,} evaluations", markup=False)

    yield show


def _show(record: dict[str, Any], *, as_json: bool) -> None:
    from thalweg.cli.shared.console import out, print_json
    from thalweg.landscape.page import notes, share_words

    if as_json:
        print_json(record)
        return
    console = out()
    console.print(f"{record['task']}: {share_words(record)}", markup=False, soft_wrap=True)
    values = [v for row in record["loss"] for v in row if v is not None]
    if values:
        line = f"loss on the plane from {min(values):.4g} to {max(values):.4g}"
        console.print(line, markup=False)
    for path in record["paths"]:
        if path["loss"][-1] is None:
            continue
        console.print(
            f"  {path['run']:<24}{plural(len(path['steps']), 'point')} to step {path['steps'][-1]}, loss "
            f"{path['loss'][-1]:.4g}, {path['off'][-1]:.3g} off the plane",
            markup=False,
            soft_wrap=True,
        )
    for note in notes(record):
        console.print(f"- {note}", style="dim", markup=False, soft_wrap=True)
