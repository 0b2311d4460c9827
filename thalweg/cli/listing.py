"""`thalweg list`: the names that commands and code can use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from thalweg.optim.cards.cost import StepCost

EXAMPLES = ("thalweg list", "thalweg list optimizers", "thalweg list rules --json")

ListRow = dict[str, Any]

_USUAL = ("tasks", "optimizers")


def list_everything(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="tasks, optimizers, rules, schedules, wrappers, init, strategies or labs.",
            show_default="tasks and optimizers",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of tables.")
    ] = False,
) -> None:
    """List the tasks and the optimizers that can be named; or rules, schedules, wrappers.

    A task can also be yours: any command takes file.py, with a function
    `task` that returns a Task, file.py:function, or module:function;
    `thalweg new task` writes one to start from. Options go behind a colon:
    parity:bits=12,relevant=3. `thalweg explain NAME` says more of one.
    """
    from thalweg.cli.shared.console import out, print_json

    listed = {name: LISTS[name]() for name in _chosen(kind)}
    if as_json:
        print_json(listed)
        return
    for name, rows in listed.items():
        _print_table(_singular(name), rows)
    if kind is None:
        others = ", ".join(f"thalweg list {name}" for name in LISTS if name not in _USUAL)
        out().print(f"More: {others}; thalweg explain NAME.", style="dim", markup=False)


def _chosen(kind: str | None) -> Sequence[str]:
    from thalweg.errors import TaskError, suggest

    if kind is None:
        return _USUAL
    wanted = kind.strip().lower()
    for name in LISTS:
        if wanted in (name, _singular(name)):
            return (name,)
    raise TaskError(
        f"There is no list of {kind!r}.{suggest(wanted, LISTS)} There are: {', '.join(LISTS)}."
    )


def _singular(kind: str) -> str:
    return f"{kind[:-3]}y" if kind.endswith("ies") else kind.removesuffix("s")


def _tasks() -> list[ListRow]:
    from thalweg.tasks import list_tasks, task_facts
    from thalweg.tasks.target import figure

    facts = task_facts()
    return [
        {
            "name": name,
            "description": text,
            "target": {
                "metric": figure(facts[name].target.metric),
                "value": facts[name].target.value,
            },
            "epochs": facts[name].epochs,
            "batch_size": facts[name].batch_size,
            "seconds": facts[name].seconds,
            "data_hash": facts[name].data_hash,
        }
        for name, text in list_tasks().items()
    ]


def _optimizers() -> list[ListRow]:
    import torch

    from thalweg.optim.cards.by_name import card
    from thalweg.optim.cards.cost import cost_of
    from thalweg.optim.cards.known import OF_MODELS, OPTIMIZERS, SOLVERS
    from thalweg.optim.stepping.stepper import Stepper
    from thalweg.race.entrants.known import DEFAULT_ENTRANTS, known_entrants

    summaries = {
        name.lower(): card(made).summary
        for name, made in {**OPTIMIZERS, **SOLVERS, **OF_MODELS}.items()
    }
    rows: list[ListRow] = []
    for name, entrant in sorted(known_entrants().items()):
        made = entrant.build(torch.nn.Linear(1, 1), lr=0.1)
        row = {
            "name": name,
            "class": type(made).__name__,
            "description": summaries.get(name) or entrant.description,
            "raced_by_default": name in DEFAULT_ENTRANTS,
        }
        rows.append(row | (_figures(cost_of(made)) if isinstance(made, Stepper) else {}))
    return rows


def _rules() -> list[ListRow]:
    from thalweg.optim.cards.by_name import card
    from thalweg.optim.cards.known import RULES

    cards = [card(made) for made in RULES.values()]
    return [
        {
            "name": each.name,
            "description": each.summary,
            "kind": each.kind.removeprefix("rule, "),
            **({} if each.cost is None else _figures(each.cost)),
        }
        for each in cards
    ]


def _figures(cost: StepCost) -> ListRow:
    return {"state_bytes_per_parameter": cost.bytes, "passes": cost.passes}


def _schedules() -> list[ListRow]:
    from thalweg.cli.shared.known import schedules

    return _described(schedules())


def _wrappers() -> list[ListRow]:
    from thalweg.cli.shared.known import wrappers

    return _described(wrappers())


def _initializers() -> list[ListRow]:
    from thalweg.init.named import strategy_names
    from thalweg.init.strategies.strategy import DEFINITIONS
    from thalweg.optim import docstring

    def described(name: str) -> str:
        if name not in DEFINITIONS:
            return f"torch.nn.init.{name}_ for all weights of two or more axes."
        return docstring.read_docstring(docstring.of(DEFINITIONS[name].function)).title

    ours_first = sorted(strategy_names(), key=lambda name: name not in DEFINITIONS)
    return [{"name": name, "description": described(name)} for name in ours_first]


def _strategies() -> list[ListRow]:
    import dataclasses

    from thalweg.strategies.named import IN_PYTHON, STRATEGIES

    known = {**STRATEGIES, **IN_PYTHON}
    return [
        {
            **row,
            "settings": [field.name for field in dataclasses.fields(known[row["name"]])],  # type: ignore[arg-type]
            "by_name": row["name"] in STRATEGIES,
        }
        for row in _described(known)
    ]


def _labs() -> list[ListRow]:
    from thalweg.labs import LABS

    return [
        {"name": name, "description": each.title, "slider": each.slider.to_dict()}
        for name, each in LABS.items()
    ]


def _described(things: Mapping[str, Any]) -> list[ListRow]:
    from thalweg.optim import docstring

    return [
        {"name": name, "description": docstring.read_docstring(docstring.of(thing)).summary}
        for name, thing in things.items()
    ]


LISTS: Mapping[str, Callable[[], list[ListRow]]] = {
    "tasks": _tasks,
    "optimizers": _optimizers,
    "rules": _rules,
    "schedules": _schedules,
    "wrappers": _wrappers,
    "init": _initializers,
    "strategies": _strategies,
    "labs": _labs,
}
"""What can be listed."""


def _print_table(heading: str, rows: Sequence[ListRow]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from thalweg.cli.shared.console import out

    columns, note = _figure_columns(rows)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column(heading, no_wrap=True)
    table.add_column("what it is")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        name, called = row["name"], row.get("class", "")
        table.add_row(
            Text(called if called.lower() == name else name, style="bold"),
            Text(row["description"]),
            *(Text(shown(row)) for shown in columns.values()),
        )
    out().print(table)
    if note:
        out().print(note, style="dim", markup=False)


def _figure_columns(rows: Sequence[ListRow]) -> tuple[Mapping[str, Callable[[ListRow], str]], str]:
    """Return the columns of figures that the rows have, and what to say of them below."""
    if any("passes" in row for row in rows):
        return {
            "bytes": lambda row: str(row.get("state_bytes_per_parameter", "")),
            "passes": lambda row: str(row.get("passes", "")),
        }, "bytes: state for each number of a float32 parameter; passes over the data in a step."
    if any("seconds" in row for row in rows):
        sizes = sorted({str(row["batch_size"]) for row in rows})
        return {
            "target": lambda row: f"{row['target']['metric']} {row['target']['value']:g}",
            "epochs": lambda row: str(row["epochs"]),
            "seconds": lambda row: f"{row['seconds']:g}",
        }, (
            "target: a figure of the validation set; "
            f"epochs: the usual budget, in batches of {' or '.join(sizes)}; "
            "seconds: of one such run on one core, about."
        )
    if any("slider" in row for row in rows):
        return {
            "slider": lambda row: row["slider"]["name"],
            "from": lambda row: f"{row['slider']['low']:g}",
            "to": lambda row: f"{row['slider']['high']:g}",
        }, "slider: the one number that `thalweg lab NAME --slider VALUE` moves."
    if any("by_name" in row for row in rows):
        return (
            {
                "--strategy": lambda row: row["name"] if row["by_name"] else "file.py:name",
            },
            "--strategy NAME:setting=value, or file.py:name for what a Python file holds under a name.",
        )
    return {}, ""
