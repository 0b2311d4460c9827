"""`thalweg train`: train one task with one optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.values import path_of

if TYPE_CHECKING:
    from thalweg.train import Run

EXAMPLES = (
    "thalweg train digits --optimizer adam --lr 1e-3",
    "thalweg train my_task.py --optimizer momentum --lr 0.1 --epochs 50",
    "thalweg train digits --optimizer sgd --lr 0.3 --checkpoint runs/sgd",
    "thalweg train digits --optimizer sgd --lr 0.3 --checkpoint runs/sgd --resume",
)

CHECKPOINT = "checkpoint.safetensors"


def train(
    task: Annotated[
        str,
        typer.Argument(metavar="TASK", help="A built-in task, or file.py, or file.py:function."),
    ],
    optimizer: Annotated[
        str,
        typer.Option("--optimizer", "-o", help="Which one; `thalweg list optimizers` shows all."),
    ] = "adam",
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate.", show_default="the optimizer's own"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the training set.", show_default="the task's own"),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Rows in a batch; 0 for all of them.", show_default="the task's own"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and order of the data.")] = 0,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep a checkpoint in.",
            show_default="none",
            parser=path_of,
            metavar="PATH",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint, where there is one.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print history and results as one JSON document.")
    ] = False,
) -> None:
    """Train a task with one optimizer, and print the final metrics.

    Progress goes to the standard error, one line an epoch or a bar on a
    terminal; the results go to the standard output.
    """
    from thalweg.errors import CheckpointError, TaskError, ThalwegError
    from thalweg.objective.blame import blame
    from thalweg.race.entrants.known import find_entrant
    from thalweg.race.trials.plan import Setting
    from thalweg.race.trials.point import Point
    from thalweg.race.trials.recipe import optimizing
    from thalweg.tasks import load_task
    from thalweg.train import FitDivergedError, fit
    from thalweg.train.threads import threads_for, torch_threads

    if resume and checkpoint is None:
        raise TaskError("--resume needs --checkpoint FOLDER, the folder to go on from.")
    if lr is not None and not 0 < lr < float("inf"):
        raise TaskError(f"A learning rate must be a positive number, got --lr {lr:g}.")
    entrant = find_entrant(optimizer)
    if entrant.schedule is not None and lr is None:
        raise TaskError(
            f"The schedule of {entrant.name} needs a peak: give --lr, such as --lr 1e-3."
        )
    file = None if checkpoint is None else checkpoint / CHECKPOINT
    if file is not None and file.exists() and not resume:
        raise CheckpointError(
            f"The checkpoint {file} already holds a run. Go on with --resume, or delete it to start "
            "anew."
        )
    subject = load_task(task)
    epochs = subject.epochs if epochs is None else epochs
    usual = subject.batch_size if entrant.batch_size == "race" else entrant.batch_size
    rows = usual if batch_size is None else batch_size or None
    steps = Setting(rows, "loss", "min").steps(subject, epochs)
    if steps is not None:
        steps = max(1, steps)  # of none, or fewer, `fit` says what is wrong
    how: dict[str, Any] = {"optimizer": entrant.bound({})}
    if lr is not None:
        how = optimizing(entrant, Point(lr), steps)
    with torch_threads(threads_for(subject)):
        try:
            run = fit(
                subject,
                **how,
                epochs=epochs,
                batch_size=rows,
                seed=seed,
                checkpoint=file,
                resume=resume,
            )
        except FitDivergedError as error:
            if as_json:
                _show(error.run, entrant.name, as_json=True)
            raise
        except ThalwegError:
            raise
        except Exception as error:  # of the user's model or data, in the middle of training
            raise TaskError(f"Training {subject.name} failed. {blame(error)}") from error
        _show(run, entrant.name, as_json=as_json)
    if run.stopped == "interrupted":
        raise typer.Exit(130)


def _show(run: Run, optimizer: str, *, as_json: bool) -> None:
    from thalweg.cli.console import out, print_json

    document = _document(run, optimizer)
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


def _document(run: Run, optimizer: str) -> dict[str, Any]:
    return {
        "schema": "thalweg.train/1",
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
