"""`thalweg doctor`: why training is slow or bad, proved, and mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.cli.shared.options import (
    BatchSizeOption,
    EpochsOption,
    InitOption,
    JsonOption,
    OptimizerOption,
    OverPageOption,
    PageOption,
    RateOption,
    SeedOption,
    SettingsOption,
    TaskArgument,
    recipe_for,
)

if TYPE_CHECKING:
    from thalweg.doctor import Consultation, Verdict

EXAMPLES = (
    "thalweg doctor my_task.py",
    "thalweg doctor my_task.py -o momentum --lr 3 --fix",
    "thalweg doctor digits -o sgd --lr 1e-4 --epochs 5 --html doctor.html",
    "thalweg doctor my_task.py:make --forks 0 --json",
)


def doctor(
    task: TaskArgument,
    optimizer: OptimizerOption = "adam",
    lr: RateOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    seed: SeedOption = 0,
    settings: SettingsOption = None,
    start: InitOption = None,
    budget: Annotated[
        float, typer.Option(help="Time for watching, as a share of training time.")
    ] = 0.05,
    forks: Annotated[
        float, typer.Option(help="Budget for trying remedies, in gradients; 0 for none.")
    ] = 5000.0,
    fix: Annotated[
        bool, typer.Option("--fix", help="Apply the remedies of confirmed faults, and train again.")
    ] = False,
    html: PageOption = None,
    force: OverPageOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say why training is slow or bad, test that, and fix it.

    Looks at data, model and recipe, then trains and watches. What it suspects
    it tries: from a state of the run it trains some steps with and without
    the remedy, on the same batches. Only what helps there is a fault.

    The exit code is 3 if a fault was found, with --fix if one is left.
    """
    from thalweg.cli.shared.values import checked_rate
    from thalweg.doctor import consult
    from thalweg.doctor.consulting.page import check_page, write_doctor_page
    from thalweg.errors import TaskError
    from thalweg.tasks import load_task
    from thalweg.train.machine.threads import threads_for, torch_threads

    for name, value in {"budget": budget, "forks": forks}.items():
        if not 0 <= value < float("inf"):
            raise TaskError(f"--{name} must be a number of at least 0; got {value:g}.")
    checked_rate(lr)
    page = None if html is None else check_page(html, over=force)
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
    )
    with torch_threads(threads_for(subject)):
        found = consult(recipe, fix=fix, budget=budget, forks=forks)
    _show(found, as_json=as_json)
    if page is not None:
        write_doctor_page(found, page, over=force)
    _end(found)


def _show(found: Consultation, *, as_json: bool) -> None:
    from thalweg.cli.shared.console import out, print_json

    if as_json:
        print_json({"schema": "thalweg.doctor/1", **found.to_dict()})
        return
    console, report = out(), found.report
    for verdict in report.verdicts:
        style = {"fault": "bold red", "warning": "yellow", "information": "dim"}[verdict.kind]
        console.print(_heading(verdict), style=style, markup=False, soft_wrap=True)
        for line in _lines(verdict):
            console.print(f"  {line}", markup=False, soft_wrap=True)
    for each in found.treatments:
        console.print(f"tried  {each}", markup=False, soft_wrap=True)
    if report.healthy:
        console.print(f"No fault was found in {report.steps} steps.", markup=False)
    for what in report.unwatched:
        console.print(f"not watched: {what}", style="dim", markup=False, soft_wrap=True)
    console.print(f"{report.cost}.", style="dim", markup=False, soft_wrap=True)


def _heading(verdict: Verdict) -> str:
    place = f" in {verdict.where}" if verdict.where else ""
    since = "" if verdict.since is None else f", since step {verdict.since}"
    return f"{verdict.kind}  {verdict.symptom}{place} ({verdict.status}{since})"


def _lines(verdict: Verdict) -> list[str]:
    lines = [] if verdict.statistic is None else [str(verdict.statistic)]
    lines += [verdict.words] if verdict.words else []
    lines += [f"remedy: {verdict.remedy}"] if verdict.remedy is not None else []
    lines += [f"effect: {verdict.effect}"] if verdict.effect is not None else []
    return lines


def _end(found: Consultation) -> None:
    from thalweg.cli.shared.exits import FAULTS, INTERRUPTED

    if found.run.stopped == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if not found.latest.healthy:
        raise typer.Exit(FAULTS)
