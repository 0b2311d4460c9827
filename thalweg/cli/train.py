"""`thalweg train`: train one task with one optimizer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.options import (
    BatchSizeOption,
    EpochsOption,
    InitOption,
    OptimizerOption,
    RateOption,
    SeedOption,
    SettingsOption,
    TaskArgument,
    recipe_for,
)
from thalweg.cli.shared.values import path_of

if TYPE_CHECKING:
    from thalweg.train import Run
    from thalweg.train.callbacks import Callback
    from thalweg.train.recipe import Recipe

EXAMPLES = (
    "thalweg train digits --optimizer adam --lr 1e-3",
    "thalweg train my_task.py -o adamw+cosine --lr 1e-3 --set betas=0.9,0.95",
    "thalweg train my_task.py -o momentum --lr 0.1 --clip-norm 1 --accumulate 4",
    "thalweg train digits -o adam --strategy curriculum:start=0.3",
    "thalweg train digits -o sgd --lr 0.3 --out runs/sgd",
    "thalweg train digits -o sgd --lr 0.3 --out runs/sgd --resume",
)

RUNS = Path("runs")
"""Where runs are kept that are given no folder."""


def train(
    task: TaskArgument,
    optimizer: OptimizerOption = "adam",
    lr: RateOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    seed: SeedOption = 0,
    settings: SettingsOption = None,
    start: InitOption = None,
    accumulate: Annotated[
        int, typer.Option(help="Batches whose gradients are accumulated for one step.")
    ] = 1,
    clip_norm: Annotated[
        float | None,
        typer.Option(
            help="Largest norm of the gradient; larger ones are scaled down.", show_default="none"
        ),
    ] = None,
    autocast: Annotated[
        str | None,
        typer.Option(help="Data type of the forward pass, such as bfloat16.", show_default="none"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where to train, such as cuda.", show_default="where the task builds the model"
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="NAME:setting=value,…, or file.py:name; see `thalweg list strategies`.",
            show_default="none",
        ),
    ] = None,
    keep_path: Annotated[
        bool,
        typer.Option("--keep-path", help="Keep parameters along the run, for thalweg landscape."),
    ] = False,
    gauges: Annotated[
        int | None,
        typer.Option(
            help="Record norms of gradient, update, weight every this many steps.",
            show_default="not at all",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run.",
            show_default="runs/TASK-OPTIMIZER-NUMBER",
            parser=path_of,
            metavar="PATH",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder --out.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print history and results as one JSON document.")
    ] = False,
) -> None:
    """Train a task with one optimizer, and print the final metrics.

    The run is kept in a folder: recipe and figures, history, weights, and a
    checkpoint after each epoch; `thalweg runs` lists them. Progress goes to the
    standard error, one line an epoch or a bar on a terminal; the results go to
    the standard output.
    """
    from thalweg.cli.shared.values import checked_rate
    from thalweg.errors import TaskError
    from thalweg.strategies import strategy_named
    from thalweg.tasks import load_task

    if resume and out is None:
        raise TaskError("--resume needs --out FOLDER, the folder of the run to go on with.")
    checked_rate(lr)
    if resume and out is not None:
        from thalweg.train.folder.reading import check_begun

        check_begun(out)
    subject = load_task(task)
    recipe = recipe_for(
        subject,
        optimizer,
        lr,
        epochs=epochs,
        batch_size=batch_size,
        settings=settings,
        seed=seed,
        init=start,
        accumulate=accumulate,
        clip_norm=clip_norm,
        autocast=autocast,
        device=device,
        strategy=None if strategy is None else strategy_named(strategy),
    )
    train_in(recipe, out, resume=resume, as_json=as_json, keep_path=keep_path, gauges=gauges)


def train_in(
    recipe: Recipe,
    out: Path | None,
    *,
    resume: bool,
    as_json: bool,
    keep_path: bool = False,
    gauges: int | None = None,
) -> None:
    """Train by a recipe in a folder of its own, a new one if none is named, and print the results."""
    from thalweg.cli.shared.console import err
    from thalweg.errors import TaskError, ThalwegError
    from thalweg.objective.blame import blame
    from thalweg.train import Checkpoint, FitDivergedError, RunFolder
    from thalweg.train.folder.layout import CHECKPOINT
    from thalweg.train.folder.writing import free_folder
    from thalweg.train.machine.threads import threads_for, torch_threads

    task, name = recipe.task, recipe.chosen.name
    path = free_folder(RUNS, f"{task.name}-{name}") if out is None else out
    folder = RunFolder(path, resume=resume)
    keep = Checkpoint(path / CHECKPOINT, resume=resume)
    also = _recording(path, resume=resume, keep_path=keep_path, gauges=gauges)
    with _empty_removed(path), torch_threads(threads_for(task)):
        try:
            run = recipe.fit(callbacks=[folder, *also, keep])
        except FitDivergedError as error:
            document = _document(error.run, name, path)
            folder.finish(error.run, document["results"])
            if as_json:
                _show(error.run, document, as_json=True)
            raise
        except Exception as error:  # of the user's model or data, in the middle of training
            failed = getattr(error, "run", None)
            if failed is not None and failed.epochs:
                folder.finish(failed)
            elif not resume:
                folder.discard()
            if isinstance(error, ThalwegError):
                raise
            raise TaskError(f"Training {task.name} failed. {blame(error)}") from error
        document = _document(run, name, path)
        folder.finish(run, document["results"])
        _show(run, document, as_json=as_json)
    err().print(f"Run: {path}", markup=False, soft_wrap=True)
    if run.stopped == "interrupted":
        raise typer.Exit(130)


def _recording(
    folder: Path, *, resume: bool, keep_path: bool, gauges: int | None
) -> list[Callback]:
    """Return what records path and gauges; a run that goes on goes on with its path."""
    from thalweg.doctor.recorder import RecordGauges
    from thalweg.train.folder.layout import PATH
    from thalweg.train.folder.path import KeepPath
    from thalweg.whole import whole_number

    found: list[Callback] = []
    if keep_path or (resume and (folder / PATH).is_file()):
        found.append(KeepPath(folder))
    if gauges is not None:
        found.append(RecordGauges(folder, whole_number("--gauges", gauges)))
    return found


@contextlib.contextmanager
def _empty_removed(folder: Path) -> Iterator[None]:
    """Remove the folder where the run ends before anything was written into it."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is not empty, as usual
            folder.rmdir()
            if folder.parent == RUNS:
                RUNS.rmdir()


def _show(run: Run, document: dict[str, Any], *, as_json: bool) -> None:
    from thalweg.cli.shared.console import out, print_json

    if as_json:
        print_json(document)
        return
    console = out()
    for split, scores in document["results"].items():
        figures = "  ".join(f"{name} {value:.6g}" for name, value in scores.items())
        console.print(f"{split:<11}{figures}", markup=False)
    console.print(
        f"{run.steps} steps in {run.seconds:.3g} s of training{_reached(run)}", markup=False
    )


def _document(run: Run, optimizer: str, folder: Path) -> dict[str, Any]:
    return {
        "schema": "thalweg.train/1",
        "folder": str(folder),
        "task": run.task.name,
        "optimizer": optimizer,
        "stopped": run.stopped,
        "steps": run.steps,
        "seconds": run.seconds,
        "reached": None
        if run.reached is None
        else {"step": run.reached.step, "seconds": run.reached.seconds, "value": run.reached.value},
        "results": {split: run.evaluate(split).as_dict() for split in _splits(run)},
        "history": [epoch.as_dict() for epoch in run.history],
    }


def _splits(run: Run) -> list[str]:
    data = run.task.data
    return [name for name in ("train", "validation", "test") if getattr(data, name) is not None]


def _reached(run: Run) -> str:
    if run.task.target is None:
        return ""
    if run.reached is None:
        return f"; {run.task.target} was not reached"
    return f"; {run.task.target} reached after {run.reached.step} steps"
