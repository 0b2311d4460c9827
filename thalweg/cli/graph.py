"""`thalweg graph`: a model as a graph of its layers, with shapes, parameters and FLOPs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.options import JsonOption, PageOption, TaskArgument
from thalweg.cli.shared.values import path_of
from thalweg.cli.train import RUNS

if TYPE_CHECKING:
    from thalweg.tasks import Task
    from thalweg.train.folder.gauges import Gauges

EXAMPLES = (
    "thalweg graph digits_cnn",
    "thalweg graph my_task.py --html graph.html",
    "thalweg graph digits digits-adam-1 --html graph.html --svg graph.svg",
    "thalweg graph my_task.py --doctor doctor.json --html graph.html",
    "thalweg graph my_task.py:make --rows 1 --json",
)


def graph(
    task: TaskArgument,
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run with gauges, by which nodes are coloured: its folder, or its name in runs.",
            parser=path_of,
        ),
    ] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(
            "--doctor",
            help="Verdicts to mark nodes by: the output of thalweg doctor --json.",
            parser=path_of,
            metavar="PATH",
            show_default="none",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows of the batch that runs through the model.")] = 2,
    unfold: Annotated[bool, typer.Option("--unfold", help="Show every repeated block.")] = False,
    html: PageOption = None,
    svg: Annotated[
        Path | None,
        typer.Option(help="Picture to write.", parser=path_of, metavar="PATH", show_default="none"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over existing files.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a model as a graph: layers, shapes, parameters, FLOPs.

    Runs a batch of the task through the model and records what follows what;
    blocks that repeat are shown once in a large one. With a run that was
    trained with --gauges, nodes are coloured by the norm of the gradient and
    by update / weight; --doctor marks those that the doctor names.
    """
    from thalweg.cli.shared.console import out, print_json
    from thalweg.cli.shared.pages import checked_pages
    from thalweg.network.page import headline, verdict_words, write_graph_page
    from thalweg.network.record import graph_record
    from thalweg.network.text import tree_lines
    from thalweg.network.verdicts import read_verdicts
    from thalweg.tasks import load_task
    from thalweg.train.machine.threads import torch_threads
    from thalweg.whole import whole_number

    checked_pages(html, svg, "The page of a graph", over=force)
    whole_number("--rows", rows)
    subject = load_task(task)
    gauges = None if run is None else _gauges(run)
    said = [] if verdicts is None else read_verdicts(verdicts)
    with torch_threads(1):
        model, x = _model_and_batch(subject, rows)
        record = graph_record(
            model, x, name=subject.name, gauges=gauges, fold=not unfold, verdicts=said
        )
    if as_json:
        print_json(record)
    else:
        console = out()
        console.print(f"{record['model']}: {headline(record)}", markup=False, soft_wrap=True)
        for line in tree_lines(record):
            console.print(line, markup=False, soft_wrap=True)
        console.print(_totals(record), markup=False, soft_wrap=True)
        for each in said:
            console.print(f"- {verdict_words(each)}", markup=False, soft_wrap=True)
    if html is not None:
        write_graph_page(record, html, over=force)
    if svg is not None:
        _write_svg(record, svg)


def _totals(record: dict[str, Any]) -> str:
    from thalweg.network.shown import amount

    known = {"forward": record["flops"], "backward": record["flops_backward"]}
    flops = ", ".join(f"{amount(n)} {way}" for way, n in known.items() if n)
    return f"{record['parameters']:,} parameters{flops and f'; FLOPs a row: {flops}'}"


def _gauges(run: Path) -> Gauges:
    from thalweg.cli.shared.pages import run_folder
    from thalweg.errors import CheckpointError, TaskError
    from thalweg.train.folder.gauges import read_gauges

    folder = run_folder(run, RUNS)
    try:
        return read_gauges(folder)
    except CheckpointError as error:
        raise TaskError(
            f"The run {folder} has no gauges that can be read. Record them: thalweg train … "
            f"--gauges 10. ({error})."
        ) from None


def _model_and_batch(task: Task, rows: int) -> tuple[Any, Any]:
    import torch

    from thalweg.train.restored.randomness import isolated, seed_weights
    from thalweg.train.sharpness_along import some_batches

    with isolated():
        seed_weights(0, torch.device("cpu"))
        model = task.build()
    (inputs, _), *_ = some_batches(task, model, rows, rows, 0)
    return model, inputs


def _write_svg(record: dict[str, Any], path: Path) -> None:
    from thalweg.files import write_text
    from thalweg.network.drawing import drawing

    write_text(path, drawing(record, alone=True) + "\n")
