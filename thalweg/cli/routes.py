"""`thalweg routes`: which parameter of a task's model is stepped by what."""

from __future__ import annotations

from typing import Annotated

import typer

from thalweg.cli.shared.options import OptimizerOption, RateOption, SettingsOption, TaskArgument

EXAMPLES = (
    "thalweg routes digits",
    "thalweg routes my_task.py --optimizer normuon --set weight_decay=0.1",
    "thalweg routes my_task.py:make --json",
)


def routes(
    task: TaskArgument,
    optimizer: OptimizerOption = "muon",
    lr: RateOption = None,
    settings: SettingsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of a table.")
    ] = False,
) -> None:
    """Show the kind of each parameter, and how an optimizer steps it.

    Builds the task's model and trains nothing. By parameter it shows the
    kind, route and shape, the learning rate and weight decay of the first
    step, and how many bytes of state the optimizer will keep. A kind with a
    question mark is a guess from the order in which layers were defined.
    """
    import torch

    from thalweg.cli.shared.console import out, print_json
    from thalweg.cli.shared.options import recipe_for
    from thalweg.optim.routing.table import routes_of
    from thalweg.tasks import load_task

    subject = load_task(task)
    recipe = recipe_for(subject, optimizer, lr, batch_size=None, settings=settings)
    with torch.random.fork_rng(devices=[]):
        model = subject.build()
        table = routes_of(recipe.bind(model), model)
    if as_json:
        named = {"task": subject.name, "optimizer": recipe.chosen.name}
        print_json({"schema": "thalweg.routes/1", **named, **table.to_dict()})
    else:
        out().print(str(table), markup=False, soft_wrap=True)
