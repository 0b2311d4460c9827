"""`thalweg curvature`: the curvature of a task's loss at the end of training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.options import JsonOption, TaskArgument
from thalweg.cli.shared.values import checked_page, path_of, seed_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from thalweg.curvature.sharpness import Edge
    from thalweg.tasks import Task
    from thalweg.train.sharpness_along import SharpnessAlong

EXAMPLES = (
    "thalweg curvature digits",
    "thalweg curvature digits_cnn --optimizer momentum --lr 0.05 --epochs 5",
    "thalweg curvature my_task.py --epochs 0 --matrix ggn --rows 512",
    "thalweg curvature digits -o sgd --lr 0.1 --along 20 --html curvature.html",
    "thalweg curvature my_task.py:make --json",
)


def curvature(
    task: TaskArgument,
    optimizer: Annotated[
        str,
        typer.Option(
            "--optimizer", "-o", help="The optimizer that trains the model; also file.py:name."
        ),
    ] = "adam",
    lr: Annotated[
        float | None, typer.Option(help="Its learning rate.", show_default="its own")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Epochs before measuring; 0 for none.")] = 1,
    matrix: Annotated[str, typer.Option(help="hessian, ggn or fisher.")] = "hessian",
    rows: Annotated[int, typer.Option(help="Rows of the training set that are used.")] = 1024,
    k: Annotated[int, typer.Option("-k", help="Eigenvalues at each end.")] = 1,
    most: Annotated[int, typer.Option(help="The most products for them.")] = 100,
    probes: Annotated[int, typer.Option(help="Random vectors of the density.")] = 6,
    by_layer: Annotated[
        bool,
        typer.Option(
            " /--no-layers", help="Leave out the eigenvalues by layer.", show_default=False
        ),
    ] = True,
    training: Annotated[
        bool, typer.Option("--training", help="Keep dropout and batch norm in training mode.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the run and of the random vectors.", parser=seed_of, metavar="N"
        ),
    ] = 0,
    along: Annotated[
        int | None,
        typer.Option(help="Record the sharpness every this many steps of training."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Page to write, with pictures.", parser=path_of, metavar="PATH"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the curvature of the loss at the end of training.

    Trains for some epochs, then prints the largest and the smallest
    eigenvalues of the loss's Hessian, of all and by layer, its trace and
    density, the noise scale, and the sharpness compared with what the optimizer is
    stable at. Each figure comes with its error and what it cost: 1 gradient
    is one over the rows used. --along shows how the sharpness came there.
    """
    from thalweg.cli.shared.values import checked_rate
    from thalweg.curvature.summary import Effort, summarize
    from thalweg.tasks import load_task
    from thalweg.train.machine.threads import threads_for, torch_threads
    from thalweg.train.sharpness_along import some_batches

    _check(matrix, epochs=epochs, rows=rows, k=k, most=most, probes=probes)
    _check_along(along, epochs, html)
    checked_rate(lr)
    subject = load_task(task)
    with torch_threads(threads_for(subject)):
        watch = _watch(along, rows=rows, training=training, most=most, seed=seed)
        model, stepped = _trained(subject, optimizer, lr, epochs, seed, watch)
        edge, notes = _edge(stepped, model)
        effort = Effort(k=k, most=most, probes=probes, seed=seed)
        found = summarize(
            _operator(matrix, model, subject, rows, training, seed),
            edge=edge,
            batches=some_batches(subject, model, subject.batch_size, rows, seed),
            effort=effort,
            by_layer=by_layer,
            notes=tuple(dict.fromkeys([*notes, *(note for each in watch for note in each.notes)])),
        )
    record = {
        "schema": "thalweg.curvature/1",
        "task": subject.name,
        "optimizer": optimizer,
        "epochs": epochs,
        "matrix": matrix,
        "seed": seed,
        **found.to_dict(),
        "along": [point.to_dict() for each in watch for point in each.points],
    }
    _show(record, as_json=as_json)
    if html is not None:
        _write(record, html)


def _check(matrix: str, *, epochs: int, **counts: int) -> None:
    from thalweg.errors import TaskError, suggest

    known = ("hessian", "ggn", "fisher")
    if matrix not in known:
        raise TaskError(
            f"--matrix must be hessian, ggn or fisher; got {matrix!r}.{suggest(matrix, known)}"
        )
    if epochs < 0:
        raise TaskError(f"--epochs must be an integer ≥ 0; got {epochs}.")
    for name, count in counts.items():
        if count < 1:
            raise TaskError(
                f"{'-k' if name == 'k' else f'--{name}'} must be at least 1; got {count}."
            )


def _check_along(along: int | None, epochs: int, html: Path | None) -> None:
    from thalweg.errors import TaskError

    if along is not None and along < 1:
        raise TaskError(f"--along must be at least 1; got {along}.")
    if along is not None and not epochs:
        raise TaskError("--along needs training: set --epochs to at least 1.")
    checked_page(html)


def _watch(every: int | None, **settings: Any) -> list[SharpnessAlong]:
    from thalweg.train.sharpness_along import SharpnessAlong

    return [] if every is None else [SharpnessAlong(every, **settings)]


def _trained(
    task: Task,
    optimizer: str,
    lr: float | None,
    epochs: int,
    seed: int,
    watch: list[SharpnessAlong],
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a model that was trained for so many epochs, and the optimizer that did it."""
    import torch

    from thalweg.train.recipe import Recipe
    from thalweg.train.restored.randomness import isolated, seed_weights

    recipe = Recipe(task, optimizer, lr, epochs=max(epochs, 1), seed=seed)
    if epochs:
        run = recipe.fit(callbacks=watch)
        return run.model, run.optimizer
    with isolated():
        seed_weights(seed, torch.device("cpu"))
        model = task.build()
    return model, recipe.bind(model)


def _edge(
    optimizer: torch.optim.Optimizer, model: nn.Module
) -> tuple[Edge | None, tuple[str, ...]]:
    from thalweg.curvature.sharpness import edge_of
    from thalweg.errors import TaskError

    try:
        return edge_of(optimizer, model), ()
    except TaskError as error:
        return None, (str(error),)


def _operator(
    matrix: str, model: nn.Module, task: Task, rows: int, training: bool, seed: int
) -> Any:
    from thalweg.curvature.operators import fisher, ggn, hessian
    from thalweg.train.sharpness_along import some_batches

    make: Any = {"hessian": hessian, "ggn": ggn, "fisher": fisher}[matrix]
    data = some_batches(task, model, rows, rows, seed)
    return make(model, task.cost, data, training=training)


def _show(record: dict[str, Any], *, as_json: bool) -> None:
    from thalweg.cli.shared.console import out, print_json
    from thalweg.report.words.curvature import along_lines, curvature_lines, layer_lines

    if as_json:
        print_json(record)
        return
    console = out()
    heading = "{matrix} of {task}, epochs of {optimizer}: {epochs}".format(**record)
    console.print(
        f"{heading}; {record['parameters']} parameters, {record['mode']}",
        markup=False,
        soft_wrap=True,
    )
    lines = [*curvature_lines(record), *layer_lines(record), *along_lines(record["along"])]
    width = max(len(name) for name, _, _ in lines) + 2
    for name, figure, cost in lines:
        console.print(f"  {name:<{width}}{figure:<36}{cost}", markup=False, soft_wrap=True)
    for note in record["notes"]:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    console.print(f"{record['gradients']:.0f} gradients in all", markup=False)


def _write(record: dict[str, Any], path: Path) -> None:
    from thalweg.cli.shared.console import err
    from thalweg.report.plots.curvature import write_curvature_page

    write_curvature_page(record, path)
    err().print(f"Page: {path}", markup=False, soft_wrap=True)
