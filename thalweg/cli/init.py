"""`thalweg init`: strategies that start a model, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.options import TaskArgument
from thalweg.cli.shared.values import checked_page, path_of, seed_of
from thalweg.numeric import plural

if TYPE_CHECKING:
    from thalweg.init import InitComparison, InitReport
    from thalweg.race.starts import StartRace
    from thalweg.tasks import Task

EXAMPLES = (
    "thalweg init digits",
    "thalweg init my_task.py --compare he,lsuv,orthogonal:gain=1.4",
    "thalweg init digits --compare he,lsuv -o sgd --epochs 5 --html starts.html",
    "thalweg init digits --show 'he|output_bias'",
)

_USUAL = "default,he,glorot,orthogonal,orthogonal|bias|lsuv"


def init(
    task: TaskArgument,
    compared: Annotated[
        str,
        typer.Option(
            "--compare", help="Initializers, separated by commas; default is PyTorch's own."
        ),
    ] = _USUAL,
    shown: Annotated[
        str | None,
        typer.Option(
            "--show",
            metavar="INITIALIZER",
            help="Initialize one model by this, and show what was done.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Models for each initializer.")] = 5,
    seed: Annotated[
        int, typer.Option(help="Seed of the batch, and of --show.", parser=seed_of, metavar="N")
    ] = 0,
    optimizer: Annotated[
        str, typer.Option("-o", "--optimizer", help="Optimizer of the race; also file.py:name.")
    ] = "adam",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Epochs of a trial of the race; 0: no race.",
            show_default="a tenth of the task's",
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
    """Compare initializations of a task's model, then race them briefly.

    Runs one batch through fresh models and back. By layer it shows the
    logarithm of the root mean square of activations and of gradients, mean
    ± standard deviation over the seeds, and the loss next to that of the
    best constant. Then one optimizer, tuned for each initializer, trains from all
    of them with the same budget of gradients on eight seeds. `thalweg list
    init` shows the initializers.
    """
    from thalweg.cli.shared.console import out, print_json
    from thalweg.cli.shared.values import read_spelled
    from thalweg.report.plots.starts import race_said
    from thalweg.tasks import load_task

    _check(page, shown)
    subject = load_task(task)
    names = read_spelled(compared) or []
    look = _Look(subject, seed, batch_size)
    found = look.started(shown) if shown is not None else look.compared(names, seeds)
    document, parts = {"task": subject.name, **found.to_dict()}, [str(found)]
    if shown is None and epochs != 0 and len(names) > 1:
        race = _race(subject, names, optimizer, epochs)
        document["race"] = race.to_dict()
        parts += [str(race), race_said(document["recommended"], document["race"]["may_be_best"])]
    if as_json:
        print_json({**document, "schema": "thalweg.init/1"})
    else:
        out().print("\n\n".join(filter(None, parts)), markup=False, soft_wrap=True)
    if page is not None:
        _write(document, page)


def _check(page: Path | None, shown: str | None) -> None:
    from thalweg.errors import TaskError

    checked_page(page)
    if page is not None and shown is not None:
        raise TaskError("--html needs a comparison; --show writes no page.")


@dataclass(frozen=True)
class _Look:
    """What is looked at: a batch of a task's training set, and fresh models."""

    subject: Task
    seed: int
    rows: int | None

    def started(self, strategy: str) -> InitReport:
        """Start one model, and return what was done."""
        from thalweg.init import apply, find_strategy

        with self._batch() as (model, x, y, targets):
            return apply(
                *(model, find_strategy(strategy), x, y),
                seed=self.seed,
                loss=self.subject.cost.surrogate,
                targets=targets,
            )

    def compared(self, names: list[str], seeds: int) -> InitComparison:
        """Start models by each strategy, and return what the batch shows."""
        from thalweg.init import compare

        cost = self.subject.cost.surrogate
        with self._batch() as (_, x, y, targets):
            return compare(self.subject.build, names, x, y, cost, targets=targets, seeds=seeds)

    @contextmanager
    def _batch(self) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Give a fresh model with inputs, targets, and all targets if they are in memory."""
        import torch

        from thalweg.tasks.initialize import batch_for
        from thalweg.train.machine.threads import threads_for, torch_threads

        subject = self.subject
        with torch_threads(threads_for(subject)), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = subject.build()
            size = self.rows or subject.batch_size
            x, y, targets = batch_for(model, subject.data.train, size)
            yield model, x, subject.cost.surrogate.match(model(x), y), targets


def _race(task: Task, names: list[str], optimizer: str, epochs: int | None) -> StartRace:
    from thalweg.cli.shared.progress import race_progress
    from thalweg.race import Race
    from thalweg.race.starts import StartRace, start_settings

    settings = start_settings(task, names, optimizer, epochs)
    opening = f"{optimizer} from {plural(len(names), 'start')} of {task.name}"
    with race_progress(opening) as progress:
        contest = Race(task, **settings, progress=progress)
        contest.run()
    return StartRace(contest.result(), optimizer)


def _write(document: dict[str, Any], page: Path) -> None:
    from thalweg.cli.shared.console import err
    from thalweg.report.plots.starts import plot_starts

    plot_starts(document, page)
    err().print(f"Page: {page}", markup=False, soft_wrap=True)
