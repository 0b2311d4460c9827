"""`thalweg init`: strategies that start a model, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.values import path_of

if TYPE_CHECKING:
    from thalweg.race.starts import StartRace
    from thalweg.tasks import Task

EXAMPLES = (
    "thalweg init digits",
    "thalweg init my_task.py --compare he,lsuv,orthogonal:gain=1.4",
    "thalweg init digits --compare he,lsuv -o sgd --epochs 5 --html starts.html",
    "thalweg init digits --show 'he|output_bias'",
)

_USUAL = "default,he,glorot,orthogonal,lsuv"


def init(
    task: Annotated[
        str,
        typer.Argument(metavar="TASK", help="A built-in task, or file.py, or file.py:function."),
    ],
    compared: Annotated[
        str, typer.Option("--compare", help="Strategies by commas; default: what layers draw.")
    ] = _USUAL,
    shown: Annotated[
        str | None,
        typer.Option("--show", metavar="STRATEGY", help="Start one model, show what was done."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Models of each strategy.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the batch, and of --show.")] = 0,
    optimizer: Annotated[
        str, typer.Option("-o", "--optimizer", help="Who trains in the race of the strategies.")
    ] = "adam",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of a trial of that race; 0: no race.", show_default="a tenth of the task's"
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows in the batch.", show_default="the task's own")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--html", help="Page to write.", parser=path_of, metavar="PATH"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of text.")
    ] = False,
) -> None:
    """Compare how strategies start a task's model, and race them shortly.

    Runs one batch through fresh models and back. By layer it shows the
    logarithm of the root mean square of activations and of gradients, mean
    ± standard deviation over the seeds, and the loss beside that of the
    best constant. Then one optimizer, tuned for each start, trains from all
    of them with the same gradients on eight seeds. `thalweg list init` shows
    the strategies.
    """
    import torch

    from thalweg.cli.console import out, print_json
    from thalweg.cli.values import read_spelled
    from thalweg.errors import TaskError
    from thalweg.init import apply, compare, find_strategy
    from thalweg.tasks import load_task
    from thalweg.tasks.initialize import batch_for
    from thalweg.train.threads import threads_for, torch_threads

    if page is not None and page.suffix.lower() != ".html":
        raise TaskError(f"--html is the page to write, a file that ends in .html; got {page}.")
    if page is not None and shown is not None:
        raise TaskError("--html is of a comparison; --show has no page.")
    subject = load_task(task)
    cost = subject.cost.surrogate
    with torch_threads(threads_for(subject)), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = subject.build()
        x, y, targets = batch_for(model, subject.data.train, batch_size or subject.batch_size)
        y = cost.match(model(x), y)
        result: object
        names = read_spelled(compared) or []
        if shown is None:
            found = compare(subject.build, names, x, y, cost, targets=targets, seeds=seeds)
            document, result = found.to_dict(), found
        else:
            report = apply(model, find_strategy(shown), x, y, seed=seed, loss=cost, targets=targets)
            document, result = {"schema": "thalweg.init/1", **report.to_dict()}, report
    parts = [str(result)]
    if shown is None and epochs != 0 and len(names) > 1:
        race = _race(subject, names, optimizer, epochs)
        document["race"] = race.to_dict()
        parts.append(str(race))
    document = {"task": subject.name, **document}
    if as_json:
        print_json(document)
    else:
        out().print("\n\n".join(parts), markup=False, soft_wrap=True)
    if page is not None:
        _write(document, page)


def _race(task: Task, names: list[str], optimizer: str, epochs: int | None) -> StartRace:
    from thalweg.cli.console import counted
    from thalweg.cli.progress import race_progress
    from thalweg.race import Race
    from thalweg.race.starts import StartRace, start_settings

    settings = start_settings(task, names, optimizer, epochs)
    opening = f"{optimizer} from {counted(len(names), 'start')} of {task.name}"
    with race_progress(opening) as progress:
        contest = Race(task, **settings, progress=progress)
        contest.run()
    return StartRace(contest.result(), optimizer)


def _write(document: dict[str, Any], page: Path) -> None:
    from thalweg.cli.console import err
    from thalweg.report.plots.starts import plot_starts

    plot_starts(document, page)
    err().print(f"Page: {page}", markup=False, soft_wrap=True)
