"""The ranked table for a terminal: with colours, and as plain text. It fits 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thalweg.errors import MissingExtraError
from thalweg.numeric import plural
from thalweg.report.data import text
from thalweg.report.data.reading import (
    UNITS,
    Record,
    against_first,
    decided_by_final,
    final_range,
    group_letter,
    groups_follow,
    groups_legend,
    interval,
    is_many,
    looked_again,
    names,
    reads_result,
    tied,
)
from thalweg.report.parts.palette import colours
from thalweg.report.sections.across import ranked, unit_of
from thalweg.report.terminal.grid import TableGrid, two_lines
from thalweg.report.words.effects import effect_words

if TYPE_CHECKING:
    from rich.console import RenderableType

TABLE_WIDTH = 80
"""The width that every table fits, unless even its shortened names are too long."""


@reads_result
def race_table(result: Mapping[str, Any], width: int = TABLE_WIDTH) -> RenderableType:
    """Return the ranked table of a race, or of several tasks, for `rich` to print.

    Raises:
        MissingExtraError: if rich is not installed; `plain_table` needs nothing.
    """
    try:
        from rich.console import Group
    except ImportError:
        raise MissingExtraError("rich", "A coloured table") from None
    blocks = [_rich(grid, result) for grid in grids(result, width)]
    return blocks[0] if len(blocks) == 1 else Group(*blocks)


@reads_result
def plain_table(result: Mapping[str, Any], width: int = TABLE_WIDTH) -> str:
    """Return the ranked table as aligned plain text, one line for each entrant."""
    return "\n\n".join(_plain(grid) for grid in grids(result, width))


def grids(result: Record, width: int) -> list[TableGrid]:
    """Return the table as words; that of many tasks in several blocks, each of which fits."""
    if is_many(result):
        return _of_tasks(result, width)
    places, made = result["standings"], against_first(result)
    if not places:
        return []
    unit, timed = result["rank_by"], not decided_by_final(result)
    metric = result["metric"]["name"]
    columns: list[tuple[str, list[str]]] = [
        ("", [_rank(result, place) for place in places]),
        ("optimizer", [place["entrant"] for place in places]),
        ("learning rate", [_rate(place) for place in places]),
    ]
    against = [
        effect_words(made[p["entrant"]], metric) if p["entrant"] in made else "" for p in places
    ]
    if timed:
        columns.append((f"{_short(unit)} to target", [_cost(place, unit) for place in places]))
        columns += [(f"times first's {unit}", ["1", *against[1:]])] if made else []
        if unit != "seconds":
            columns.append(
                ("seconds", [text.cost(place["seconds"], "seconds") for place in places])
            )
    if result["target"] is not None:
        columns.append(
            ("reached", [f"{place['reached']} of {place['trials']}" for place in places])
        )
    finals = [text.metric_value(place["final"], metric) for place in places]
    columns.append((f"final {text.spaced(metric)}", finals))
    columns += [("minus first's", ["0", *against[1:]])] if made and not timed else []
    ranges = [_range(place, metric) for place in places]
    columns += [("range", ranges)] if any(ranges) else []
    are_lines = groups_follow(result)
    starts = {k for k in range(1, len(places)) if places[k]["group"] != places[k - 1]["group"]}
    grid = TableGrid(
        tuple(heading for heading, _ in columns),
        tuple(zip(*(cells for _, cells in columns), strict=True)),
        1,
        frozenset({1, 2}),
        frozenset(starts) if are_lines else frozenset(),
        _legend(result),
    )
    return [_fitted(grid, width)]


def _fitted(grid: TableGrid, width: int) -> TableGrid:
    """Drop the least important columns until the table fits: the seeds' range, then the seconds."""
    for least in ("range", "seconds"):
        if grid.total() > width and least in grid.headings:
            grid = grid.without(grid.headings.index(least))
    return grid.within(width)


def _of_tasks(result: Record, width: int) -> list[TableGrid]:
    """Scores, then the median cost on each task, in as many blocks as the width asks for."""
    order, unit = ranked(result), unit_of(result)
    lines = dict(zip(result["costs"]["entrants"], result["costs"]["table"], strict=True))
    columns = [
        (task, [text.cost(lines[name][k], unit) for name in order])
        for k, task in enumerate(result["costs"]["tasks"])
    ]
    first = [
        ("optimizer", order),
        ("score", [f"{result['scores'].get(name, 0.0):.2f}" for name in order]),
    ]
    blocks: list[TableGrid] = []
    taken = list(first)
    for column in columns:
        if len(taken) > len(first[:1]) and _grid([*taken, column]).total() > width:
            blocks.append(_grid(taken))
            taken = first[:1]
        taken = [*taken, column]
    return [block.within(width) for block in [*blocks, _grid(taken)]]


def _grid(columns: Sequence[tuple[str, list[str]]]) -> TableGrid:
    headings = tuple(heading.replace("_", " ") for heading, _ in columns)
    return TableGrid(headings, tuple(zip(*(cells for _, cells in columns), strict=True)))


def _plain(grid: TableGrid) -> str:
    widths = grid.widths()

    def line(cells: Sequence[str]) -> str:
        return (
            (" " * grid.gap)
            .join(
                cell.ljust(width) if column in grid.left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            .rstrip()
        )

    heads = zip(*(two_lines(heading) for heading in grid.headings), strict=True)
    dashes = "-" * grid.total()
    lines = [line(cells) for cells in heads] + [dashes]
    for number, row in enumerate(grid.rows):
        lines += [dashes] if number in grid.groups else []
        lines.append(line(row))
    return "\n".join([*(text for text in lines if text), *([grid.legend] if grid.legend else [])])


def _rich(grid: TableGrid, result: Record) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    lines = box.Box("    \n    \n ── \n    \n ── \n ── \n    \n    \n")
    table = Table(
        box=lines, header_style="bold", show_edge=False, padding=(0, grid.gap - 1, 0, 0), pad_edge=False,
        caption=grid.legend or None, caption_justify="left",
    )  # fmt: skip
    for column, heading in enumerate(grid.headings):
        table.add_column(
            "\n".join(part for part in two_lines(heading) if part),
            justify="left" if column in grid.left else "right",
            vertical="bottom",
            no_wrap=True,
        )
    palette = colours(names(result))
    whole = [p["entrant"] for p in result["standings"]] if not is_many(result) else ranked(result)
    for number, row in enumerate(grid.rows):
        if number in grid.groups:
            table.add_section()
        cells = [Text(cell) for cell in row]
        cells[grid.name].stylize(f"bold {palette[whole[number]].dark}")
        table.add_row(*cells)
    return table


def _rank(result: Record, place: Record) -> str:
    letter = "" if groups_follow(result) else f" {group_letter(place)}"
    return f"{place['rank']}{letter}{' *' if place['entrant'] in tied(result) else ''}"


def _legend(result: Record) -> str:
    best = "best" if decided_by_final(result) else "fastest"
    star = f"* may be the {best}." if tied(result) else ""
    again, seeds = looked_again(result)
    who = "All" if len(again) == len(result["standings"]) else f"The first {len(again)}"
    more = f"{who} were still in question, and ran {plural(len(seeds), 'more seed')}."
    return "\n".join(filter(None, (star, more if again else "", groups_legend(result))))


def _rate(place: Record) -> str:
    edge = {"lower": " (edge)", "upper": " (edge)", "single": " (only)"}.get(place["edge"], "")
    return text.rate(place["lr"]) + edge


def _cost(place: Record, unit: str) -> str:
    span, words = interval(place, unit), text.cost(place[unit], unit)
    return f"{words} ({span})" if span else words


def _range(place: Record, metric: str) -> str:
    lost = [f"{place[what]} {what}" for what in ("diverged", "failed") if place[what]]
    return ", ".join(filter(None, [final_range(place, metric), *lost]))


def _short(unit: str) -> str:
    return "gradients" if unit == "gradients" else UNITS[unit]
