"""`thalweg init`: strategies that start a model, side by side."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = (
    "thalweg init digits",
    "thalweg init my_task.py --compare he,lsuv,orthogonal:gain=1.4",
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
    batch_size: Annotated[
        int | None, typer.Option(help="Rows in the batch.", show_default="the task's own")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of text.")
    ] = False,
) -> None:
    """Compare how strategies start a task's model: activations, gradients, loss.

    Runs one batch through fresh models and back. By layer it shows the
    logarithm of the root mean square of activations and of gradients, mean
    ± standard deviation over the seeds, and the loss beside that of the
    best constant. `thalweg list init` shows the strategies; race them by
    `thalweg race TASK -o adam@he,adam@lsuv`.
    """
    import torch

    from thalweg.cli.console import out, print_json
    from thalweg.cli.values import read_spelled
    from thalweg.init import apply, compare, find_strategy
    from thalweg.tasks import load_task
    from thalweg.tasks.initialize import batch_for
    from thalweg.train.threads import threads_for, torch_threads

    subject = load_task(task)
    cost = subject.cost.surrogate
    with torch_threads(threads_for(subject)), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = subject.build()
        x, y, targets = batch_for(model, subject.data.train, batch_size or subject.batch_size)
        y = cost.match(model(x), y)
        result: object
        if shown is None:
            names = read_spelled(compared) or []
            found = compare(subject.build, names, x, y, cost, targets=targets, seeds=seeds)
            document, result = found.to_dict(), found
        else:
            report = apply(model, find_strategy(shown), x, y, seed=seed, loss=cost, targets=targets)
            document, result = {"schema": "thalweg.init/1", **report.to_dict()}, report
    if as_json:
        print_json({"task": subject.name, **document})
    else:
        out().print(str(result), markup=False, soft_wrap=True)
