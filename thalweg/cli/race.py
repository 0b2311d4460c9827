"""`thalweg race`: which optimizer trains a task fastest."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from thalweg.race import Race, RaceResult

EXAMPLES = (
    "thalweg race digits",
    "thalweg race digits --optimizers Adam,Lion,Prodigy --seeds 5",
    "thalweg race my_task.py --epochs 30 --target 0.9",
    "thalweg race my_task.py:make --lrs 1e-3,1e-2,1e-1 --out results",
    "thalweg race digits --json > race.json",
)


def race(
    task: Annotated[
        str,
        typer.Argument(metavar="TASK", help="A built-in task, or file.py, or file.py:function."),
    ],
    entrants: Annotated[
        str | None,
        typer.Option(
            "--optimizers",
            "--entrants",
            help="Who takes part, parted by commas.",
            show_default="the usual six",
        ),
    ] = None,
    lrs: Annotated[
        str | None,
        typer.Option(help="Learning rates for all, by commas.", show_default="a grid for each"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trials for each learning rate.")] = 3,
    epochs: Annotated[int, typer.Option(help="Passes over the training set in a trial.")] = 30,
    batch_size: Annotated[int, typer.Option(help="Rows in a batch.")] = 128,
    target: Annotated[
        float | None,
        typer.Option(help="Validation figure to be reached.", show_default="the task's own"),
    ] = None,
    by: Annotated[str, typer.Option(help="What decides first: steps or seconds.")] = "steps",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the records and the report.", show_default="race-TASK"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run finished trials again.")] = False,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads of torch.", show_default="1 for a small model"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON document.")
    ] = False,
) -> None:
    """Race optimizers on a task: which one trains it fastest?

    Every entrant runs every learning rate of its grid with every seed.
    Each gets the same budget; a seed gives all of them the same initial
    weights and the same order of the data. Finished trials are on disk at
    once: after Ctrl-C or a crash, the same command goes on from there.
    """
    from thalweg.cli.values import names, rates
    from thalweg.errors import TaskError
    from thalweg.race import Race
    from thalweg.tasks import load_task

    if out is not None and out.exists() and not out.is_dir():
        raise TaskError(f"{out} is a file; --out expects a folder.")
    contest = Race(
        load_task(task),
        names(entrants),
        rates(lrs),
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        target=target,
        by=by,
        out="race-{task}" if out is None else out,
        fresh=fresh,
        threads=threads,
        command=_command_line(),
    )
    interrupted = _run(contest)
    result = contest.result()
    report = contest.write_report() if result.records else None
    _show(result, report, as_json=as_json)
    if interrupted:
        raise typer.Exit(130)
    if not any(record.status == "finished" for record in result.records):
        raise typer.Exit(1)


def _run(contest: Race) -> bool:
    """Run the race under a progress display; return whether it was interrupted."""
    from thalweg.cli.progress import race_progress

    with race_progress(contest) as progress:
        try:
            contest.run(progress)
        except KeyboardInterrupt:
            return True
    return False


def _show(result: RaceResult, report: Path | None, *, as_json: bool) -> None:
    from thalweg.cli.console import err, out, print_json
    from thalweg.report import notes, race_table, verdict

    values = result.to_dict()
    if result.circumstances.interrupted:
        err().print("Interrupted. What was finished is kept.", style="yellow")
    if as_json:
        print_json(values)
    else:
        console = out()
        console.print(race_table(values))
        console.print()
        console.print(verdict(values), markup=False)
        for note in notes(values):
            console.print(f"- {note}", style="dim", markup=False)
    if report is not None:
        err().print(f"Report: {report}", markup=False, soft_wrap=True)


def _command_line() -> str:
    return shlex.join(["thalweg", *sys.argv[1:]])
