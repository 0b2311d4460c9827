"""`thalweg list`: the tasks and the optimizers that can be named."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = ("thalweg list", "thalweg list --json")


def list_everything(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of tables.")
    ] = False,
) -> None:
    """List the tasks and the optimizers that can be named.

    A task can also be a file of yours: any command takes file.py, with a function `task` that
    returns a Task, or file.py:function.
    """
    from thalweg.cli.console import print_json
    from thalweg.race.entrants import DEFAULT_ENTRANTS, known_entrants
    from thalweg.tasks import list_tasks

    tasks = list_tasks()
    optimizers = {name: entrant.description for name, entrant in sorted(known_entrants().items())}
    if as_json:
        print_json(
            {
                "tasks": [{"name": name, "description": text} for name, text in tasks.items()],
                "optimizers": [
                    {
                        "name": name,
                        "description": text,
                        "raced_by_default": name in DEFAULT_ENTRANTS,
                    }
                    for name, text in optimizers.items()
                ],
            }
        )
        return
    _print_table("task", tasks)
    _print_table("optimizer", optimizers)


def _print_table(heading: str, entries: dict[str, str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from thalweg.cli.console import out

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column(heading, no_wrap=True)
    table.add_column("what it is")
    for name, text in entries.items():
        table.add_row(Text(name, style="bold"), Text(text))
    out().print(table)
