"""The parts of a race's page that are plain HTML: they can be read without any script."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from thalweg.report import text
from thalweg.report.curves import trials_at_best
from thalweg.report.verdict import notes

_SORTED_LAST = "9e99"
_STRIP_WIDTH = 190


def facts(result: Mapping[str, Any]) -> str:
    """The size of the race in a few large figures."""
    run, budget = result["run"], result["budget"]
    target = result["target"]
    items = [
        (target["text"] if target else "none", "target"),
        (str(len(result["entrants"])), "optimizers"),
        (
            f"{run['finished']:,}",
            "trials" if run["finished"] == run["planned"] else f"of {run['planned']:,} trials",
        ),
        (str(len(budget["seeds"])), "seeds each" if len(budget["seeds"]) > 1 else "seed each"),
        (text.duration(run["seconds"]), "of training"),
    ]
    cells = "".join(
        f"<li><b>{escape(figure)}</b><span>{escape(label)}</span></li>" for figure, label in items
    )
    return f'<ul class="facts">{cells}</ul>'


def chips(result: Mapping[str, Any]) -> str:
    """One button for each entrant, which switches it on and off in the figures."""
    return "".join(
        f'<button class="chip" aria-pressed="true" style="--c:var(--e{index})" '
        f'data-entrant="{escape(entrant["name"])}">{escape(entrant["name"])}</button>'
        for index, entrant in enumerate(result["entrants"])
    )


def ranking(result: Mapping[str, Any]) -> str:
    """The ranked table; each cell carries the value by which its column is sorted."""
    headings = [*text.headings(result)]
    headings.insert(4, "each seed")
    head = "".join(
        f'<th scope="col"{_left(index)}><button>{escape(heading) or "#"}</button></th>'
        if heading != "each seed"
        else '<th scope="col" class="left">each seed</th>'
        for index, heading in enumerate(headings)
    )
    order = [entrant["name"] for entrant in result["entrants"]]
    body = "".join(
        _row(result, standing, row, order.index(standing["entrant"]))
        for standing, row in zip(result["standings"], text.rows(result), strict=True)
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def notes_list(result: Mapping[str, Any]) -> str:
    """What a reader must know to trust the ranking, or not to."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes(result))
    return f'<ul class="notes">{items}</ul>' if items else ""


def what_was_run(result: Mapping[str, Any]) -> str:
    """Task, budget, machine, versions and the command, enough to repeat the race."""
    run, budget = result["run"], result["budget"]
    entries = {
        "Task": escape(result["task"]),
        "Model": escape(result["model"]),
        "Metric": escape(
            f"{result['metric']['name'].replace('_', ' ')} on the validation part, "
            f"{'greater' if result['metric']['direction'] == 'max' else 'smaller'} is better"
        ),
        "Budget": escape(
            f"{budget['epochs']} epochs of batches of {budget['batch_size']}, "
            f"seeds {', '.join(map(str, budget['seeds']))}; "
            "a seed fixes the initial weights and the order of the data for every entrant"
        ),
        "Learning rates": "<br>".join(
            escape(f"{entrant['name']}: {', '.join(map(text.rate, entrant['lrs']))}")
            for entrant in result["entrants"]
        ),
        "Machine": escape(f"{run['machine']}, {_threads(run['threads'])}"),
        "Versions": escape(", ".join(f"{name} {v}" for name, v in run["versions"].items())),
        "Started": escape(run["started"]),
    }
    if run["command"]:
        entries["Command"] = f"<code>{escape(run['command'])}</code>"
    return (
        f"<dl>{''.join(f'<dt>{name}</dt><dd>{entry}</dd>' for name, entry in entries.items())}</dl>"
    )


def _row(result: Mapping[str, Any], standing: Mapping[str, Any], row: text.Row, colour: int) -> str:
    final = standing["final"]
    edge = f'<span class="edge">{row.edge}</span>' if row.edge else ""
    spread = f' <span class="minor">{escape(row.spread)}</span>' if row.spread else ""
    cells = [
        _cell(row.rank, standing["rank"]),
        _cell(f'<span class="name">{escape(row.entrant)}</span>', row.entrant, left=True),
        _cell(f"{row.lr}{edge}", standing["lr"], left=True),
        _cell(_maybe_missed(row.steps), standing["steps"]),
        _cell(_strip(result, standing), None, left=True),
        _cell(_maybe_missed(row.seconds), standing["seconds"]),
        _cell(row.reached, standing["reached"]),
        _cell(f"{row.final}{spread}", final),
    ]
    return f'<tr style="--c:var(--e{colour})">{"".join(cells)}</tr>'


def _cell(content: str, key: object, *, left: bool = False) -> str:
    sort_key = _SORTED_LAST if key is None else escape(str(key))
    return f'<td{" class=left" if left else ""} data-key="{sort_key}">{content}</td>'


def _maybe_missed(cell: str) -> str:
    return f'<span class="missed">{cell}</span>' if cell == text.MISSED else cell


def _left(index: int) -> str:
    return ' class="left"' if index in (1, 2) else ""


def _strip(result: Mapping[str, Any], standing: Mapping[str, Any]) -> str:
    """The steps to the target of every seed, on one scale for all rows: dots, and crosses for
    misses.
    """
    longest = max((steps for s in result["standings"] for steps in _reached(result, s)), default=1)
    scale = (_STRIP_WIDTH - 26) / longest
    trials = trials_at_best(result, standing)
    reached = _reached(result, standing)
    marks = [f'<line x1="0" x2="{_STRIP_WIDTH}" y1="9" y2="9"/>']
    marks += [f'<circle cx="{scale * steps:.1f}" cy="9" r="4.5"/>' for steps in reached]
    marks += [
        f'<path d="M{_STRIP_WIDTH - 9 - 3 * index} 5l7 8m0-8l-7 8"/>'
        for index in range(len(trials) - len(reached))
    ]
    if standing["steps"] is not None:
        middle = f"{scale * standing['steps']:.1f}"
        marks.append(f'<line class="mid" x1="{middle}" x2="{middle}" y1="2" y2="16"/>')
    return (
        f'<svg class="strip" viewBox="0 0 {_STRIP_WIDTH} 18" role="img" '
        f'aria-label="steps to target of each seed">{"".join(marks)}</svg>'
    )


def _reached(result: Mapping[str, Any], standing: Mapping[str, Any]) -> list[int]:
    return [
        trial["reached_steps"]
        for trial in trials_at_best(result, standing)
        if trial["status"] == "finished" and trial["reached_steps"] is not None
    ]


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"
