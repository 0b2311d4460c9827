"""Arguments and options that several commands share, and the recipe that they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.values import path_of, seed_of

if TYPE_CHECKING:
    from thalweg.tasks import Task
    from thalweg.train.recipe import Recipe

TaskArgument = Annotated[
    str, typer.Argument(metavar="TASK", help="A built-in task, or file.py, or file.py:function.")
]
OptimizerOption = Annotated[
    str,
    typer.Option(
        "--optimizer",
        "-o",
        help="Name of the optimizer, or file.py:name; `thalweg list optimizers` shows all.",
    ),
]
RateOption = Annotated[
    float | None, typer.Option(help="Learning rate.", show_default="the optimizer's own")
]
EpochsOption = Annotated[
    int | None, typer.Option(help="Passes over the training set.", show_default="the task's own")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(help="Rows in a batch; 0 for all of them.", show_default="the task's own"),
]
SeedOption = Annotated[
    int,
    typer.Option(help="Seed of initial weights and data order.", parser=seed_of, metavar="N"),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A hyperparameter, NAME=VALUE; may be repeated."),
]
InitOption = Annotated[
    str | None,
    typer.Option(
        "--init",
        help="Initializer: he, orthogonal:gain=1.4, he|lsuv; see `thalweg list init`.",
        show_default="as the task says",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
PageOption = Annotated[
    Path | None,
    typer.Option(help="Page to write.", parser=path_of, metavar="PATH", show_default="none"),
]
OverPageOption = Annotated[bool, typer.Option("--force", help="Write over an existing page.")]


def recipe_for(
    task: Task,
    optimizer: str,
    lr: float | None,
    *,
    batch_size: int | None,
    settings: list[str] | None,
    **parts: Any,
) -> Recipe:
    """Return the recipe that the options of a command say.

    Raises:
        TaskError: for an option that says none.
    """
    from thalweg.cli.shared.values import settings_of
    from thalweg.train.recipe import Recipe

    return Recipe(
        task,
        optimizer,
        lr,
        batch_size="task" if batch_size is None else batch_size or None,  # type: ignore[arg-type]
        hyperparameters=settings_of(settings),
        **parts,
    )
