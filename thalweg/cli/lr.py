"""`thalweg lr`: suggest a learning rate by a range test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.cli.shared.options import BatchSizeOption, OptimizerOption, TaskArgument
from thalweg.cli.shared.values import checked_page, path_of, seed_of

if TYPE_CHECKING:
    from thalweg.train.lr_finder.finder import RangeTest

EXAMPLES = (
    "thalweg lr digits",
    "thalweg lr digits --optimizer lion --seeds 9",
    "thalweg lr my_task.py --optimizer momentum --batch-size 32 --out rates.html",
    "thalweg lr my_task.py:make --lowest 1e-5 --highest 1 --steps 200 --json",
)


def lr(
    task: TaskArgument,
    optimizer: OptimizerOption = "adam",
    lowest: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 1e-7,
    highest: Annotated[float, typer.Option(help="Learning rate of the last step.")] = 10.0,
    steps: Annotated[int, typer.Option(help="Steps in a sweep, one for each rate.")] = 100,
    seeds: Annotated[int, typer.Option(help="Sweeps, each with its own seed.")] = 5,
    seed: Annotated[
        int, typer.Option(help="Seed of the first sweep.", parser=seed_of, metavar="N")
    ] = 0,
    batch_size: BatchSizeOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Page to draw the test on.",
            show_default="lr-TASK.html",
            parser=path_of,
            metavar="PATH",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the test as one JSON document.")
    ] = False,
) -> None:
    """Suggest a learning rate: raise it from step to step and watch the loss.

    Each sweep trains a fresh model for a few steps, until the loss has fallen
    and risen again. The suggestion is a place to start, good to a factor of
    about three; where the loss never falls there is none, and the exit code
    is 1.
    """
    import re

    from thalweg.tasks import load_task
    from thalweg.train.lr_finder.finder import find_lr
    from thalweg.train.machine.threads import threads_for, torch_threads

    checked_page(out, "--out")
    subject = load_task(task)
    with torch_threads(threads_for(subject)):
        test = find_lr(
            subject,
            optimizer,
            lowest=lowest,
            highest=highest,
            steps=steps,
            batch_size=subject.batch_size if batch_size is None else batch_size or None,
            seed=seed,
            seeds=seeds,
        )
    _show(test, as_json=as_json)
    # a task's name may hold what a file's name cannot
    name = re.sub(r"[^\w.-]+", "-", subject.name)
    _draw(test, Path(f"lr-{name}.html") if out is None else out)
    if test.suggestion is None:
        raise typer.Exit(1)


def _show(test: RangeTest, *, as_json: bool) -> None:
    from thalweg.cli.shared.console import out, print_json
    from thalweg.report.terminal.range_bars import range_bars

    if as_json:
        print_json(test.to_dict())
        return
    console = out()
    for line in range_bars(test.to_dict()):
        console.print(line, markup=False, no_wrap=True, crop=False)
    console.print()
    console.print(str(test), markup=False, soft_wrap=True)


def _draw(test: RangeTest, path: Path) -> None:
    from thalweg.cli.shared.console import err

    test.plot(path)
    err().print(f"Picture: {path}", markup=False, soft_wrap=True)
