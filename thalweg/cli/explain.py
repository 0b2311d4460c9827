"""`thalweg explain`: what an optimizer, a rule, a schedule or a wrapper is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.cli.shared.options import OverPageOption
from thalweg.cli.shared.values import path_of

if TYPE_CHECKING:
    from thalweg.optim.cards.card import Card
    from thalweg.optim.cards.cost import StepCost
    from thalweg.race.entrants.known import Entrant

EXAMPLES = (
    "thalweg explain adamw",
    "thalweg explain rules.adam",
    "thalweg explain Lion --json",
    "thalweg explain adam --html adam.html",
)

_WIDEST = 100
_INDENT = "    "
_HOME = {"optimizer": "optim.", "rule": "rules.", "schedule": "schedules.", "wrapper": "meta."}


def explain(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="An optimizer, a rule, a schedule or a wrapper."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the card as one JSON document.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Page to write, with the optimizer's movie.", parser=path_of, metavar="PATH"
        ),
    ] = None,
    force: OverPageOption = False,
) -> None:
    """Say what an optimizer is: equation, paper, when to use it, cost, and how to call it.

    Names ignore case. Where two share a name, the last line says how to
    see the other: rules.adam is the rule, optim.Adam the optimizer.
    `thalweg list` shows the names.
    """
    from thalweg.cli.shared.console import print_json

    shown, *others = _matches(name)
    found = _cards()[shown]()
    if as_json:
        print_json(found.as_dict())
    else:
        _print_card(found, others)
    if html is not None:
        _write_page(shown, found, html, force)


def _write_page(shown: str, found: Card, html: Path, force: bool) -> None:
    from thalweg.cli.shared.console import err
    from thalweg.errors import TaskError
    from thalweg.movies.card import write_card_page

    home, _, name = shown.partition(".")
    if f"{home}." != _HOME["optimizer"]:
        raise TaskError(f"--html works for optimizers only; {shown} is a {found.kind}.")
    page = write_card_page(found, name, [*_fields(found)], html, over=force)
    err().print(f"Page: {page}", markup=False, soft_wrap=True)


def _matches(name: str) -> list[str]:
    """Return the full names of what has a name: first what it shows, then its namesakes."""
    from thalweg.errors import TaskError, suggest
    from thalweg.tasks import list_tasks

    known = [*_cards()]
    wanted = name.strip().lower().removeprefix("thalweg.")
    short = wanted.rpartition(".")[2]
    alike = [full for full in known if full.partition(".")[2].lower() == short]
    shown = next((full for full in alike if wanted in (short, full.lower())), None)
    if shown is None:
        if short in list_tasks():
            raise TaskError(f"{short} is a task, which has no card: see `thalweg list tasks`.")
        hint = suggest(short, [full.partition(".")[2] for full in reversed(known)])
        raise TaskError(f"Nothing is called {name!r}.{hint} `thalweg list` shows the names.")
    return [shown, *(full for full in alike if full != shown)]


def _cards() -> dict[str, Callable[[], Card]]:
    """Return what makes each card, by full name; a short name means the first that has it."""
    from thalweg.cli.shared.known import schedules, wrappers
    from thalweg.optim.cards.by_name import card
    from thalweg.optim.cards.known import OF_MODELS, OPTIMIZERS, RULES, SOLVERS
    from thalweg.optim.cards.of_callable import describe_callable
    from thalweg.race.entrants.known import known_entrants

    cards: dict[str, Callable[[], Card]] = {}
    for kind, things in (("schedule", schedules()), ("wrapper", wrappers())):
        for name, thing in things.items():
            cards[_HOME[kind] + name] = partial(describe_callable, thing, kind)
    for kind, made in (("optimizer", {**OPTIMIZERS, **SOLVERS, **OF_MODELS}), ("rule", RULES)):
        for name in made:
            cards[_HOME[kind] + name] = partial(card, _HOME[kind] + name)
    for name, entrant in known_entrants().items():
        if entrant.hyperparameters:  # one of SGD's two with momentum
            cards[_HOME["optimizer"] + name] = partial(_of_entrant, entrant)
    return cards


def _of_entrant(entrant: Entrant) -> Card:
    from thalweg.optim.cards.by_name import card
    from thalweg.optim.cards.of_optimizer import optimizer_example

    example = optimizer_example(entrant.factory, **entrant.hyperparameters)  # type: ignore[arg-type]
    return replace(card(entrant.factory), example=example)  # type: ignore[arg-type]


def _print_card(found: Card, others: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from thalweg.cli.shared.console import out

    console = out()
    width = min(console.width, _WIDEST)

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style=style), width=width)

    def display(text: str, style: str = "cyan") -> None:
        for line in text.splitlines():
            for part in fold(line, width - len(_INDENT)):
                say((_INDENT + part).rstrip(), style)

    console.print(Text(found.name, style="bold"), Text(f"  {found.kind}", style="dim"), sep="")
    say(found.title)
    for block in found.blocks:
        say("")
        if block.label:
            say(f"{block.label}:", "dim")
        if block.is_equation:
            display(block.text)
        else:
            say(block.text)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for heading, text in _fields(found):
        table.add_row(heading, Text(text))
    if table.row_count:
        say("")
        console.print(table, width=width)
    say("")
    display(_HOME[found.kind.partition(",")[0]] + found.signature, "")
    if found.example:
        say("\nExample", "bold")
        say("")
        display(found.example, "")
    for other in others:
        kind = next(kind for kind, home in _HOME.items() if other.startswith(home))
        name = other.partition(".")[2]
        say(f"\nThere is also the {kind} {name}: `thalweg explain {other}`.", "dim")


def _fields(found: Card) -> Iterator[tuple[str, str]]:
    given = {
        "Paper": found.paper,
        "Defaults": found.defaults,
        "Use": found.use,
        "Deviations": found.deviations,
        "Made of": " → ".join(found.links) if found.is_composite else "",
        "Cost": found.text.fields.get("Cost", ""),
    }
    yield from ((heading, text) for heading, text in given.items() if text)
    if found.cost is not None:
        yield "State", _states(found.cost)
        for arguments, cost in found.variants.items():
            yield "", f"with {arguments} {_states(cost)}"
        yield "Passes", _passes(found.cost)
    if found.decays:
        yield "Decay", f"{', '.join(found.decays)}; the first is the default"
    if found.dialects:
        yield "Dialects", f"{', '.join(found.dialects)}; the first is the default"
    if found.evaluates_elsewhere:
        yield "Evaluation", "at the average that it keeps, inside optimizer.evaluating()"


def _states(cost: StepCost) -> str:
    parts = []
    if cost.states:
        size = f"{cost.bytes} bytes for each number of a float32 parameter"
        parts.append(f"{', '.join(cost.states)}: {size}")
    parts += [f"{name}: {size} for a matrix of m × n" for name, size in cost.matrices.items()]
    if cost.numbers:
        parts.append(f"{', '.join(cost.numbers)}: a number for each tensor")
    return "; ".join(parts) or "none"


def _passes(cost: StepCost) -> str:
    together = ", over all tensors together" if cost.couples else ""
    how = "fused on this CPU" if cost.problem is None else f"not fused: {cost.problem}"
    return f"{cost.passes} over the data{together}; {how}"


def fold(line: str, width: int) -> list[str]:
    """Break a line of an equation or of code where it is wider than `width`: at wide gaps first, then after
    commas, then at spaces; what is broken off is indented.

    >>> fold("a = b + c,   d = 1", 12)
    ['a = b + c,', '    d = 1']
    """
    parts: list[str] = []
    lead = ""
    while len(lead + line) > width:
        begun = len(line) - len(line.lstrip())
        places = (line.rfind(gap, begun + 1, width - len(lead)) for gap in ("  ", ", ", " "))
        cut = next((place for place in places if place > begun), None)
        if cut is None:
            break
        cut += line[cut] == ","
        parts.append(lead + line[:cut].rstrip())
        line, lead = line[cut:].lstrip(), _INDENT
    return [*parts, lead + line]
