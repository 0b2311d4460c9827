"""The head of a page: the question, the verdict, the size of it, and the chips of the entrants."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from thalweg.numeric import plural
from thalweg.report.data import text
from thalweg.report.data.reading import Record, is_many, names
from thalweg.report.parts.palette import variable
from thalweg.report.parts.section import Section
from thalweg.report.words.notes import notes
from thalweg.report.words.verdict import detail, headline


def header(result: Record) -> str:
    """The question as a headline, the verdict, and the facts."""
    number = len(notes(result))
    where = "notes" if _own_notes(result) else "profiles"
    caveats = (
        f' <a class="caveats" href="#{where}">{plural(number, "caveat")}</a>' if number else ""
    )
    return text.unbroken(
        f'<header><p class="kicker">thalweg race</p><h1>{escape(question(result))}</h1>'
        f'<p class="verdict">{escape(headline(result))}</p>'
        f'<p class="detail">{escape(detail(result))}{caveats}</p>{_facts(result)}</header>'
    )


def question(result: Record) -> str:
    """The question that the page answers."""
    if is_many(result):
        return f"Which optimizer trains {plural(len(result['races']), 'task')} fastest?"
    return f"Which optimizer trains {result['task']} fastest?"


def chips(result: Record) -> str:
    """One button for each entrant, which switches it on and off in the figures."""
    buttons = "".join(
        f'<button type="button" class="chip" aria-pressed="true" style="--c:var({variable(name)})" '
        f'data-entrant="{escape(name)}" title="{escape(name)}"><span>{escape(name)}</span></button>'
        for name in names(result)
    )
    return (
        f'<nav class="chips" aria-label="Entrants shown in the figures">{buttons}'
        '<button type="button" class="chip all" hidden>show all</button></nav>'
    )


def notes_section(result: Record) -> Section | None:
    """The section of the caveats, None where there are none."""
    items = "".join(f"<li>{escape(note)}</li>" for note in map(text.unbroken, _own_notes(result)))
    if not items:
        return None
    return Section(key="notes", title="Caveats", body=f'<ul class="notes">{items}</ul>')


def _own_notes(result: Record) -> list[str]:
    """The caveats shown at the head of the page; rank reversals are shown beside the profiles."""
    return notes({**result, "reversals": []}) if is_many(result) else notes(result)


def _facts(result: Record) -> str:
    items = "".join(
        f"<li><b>{escape(figure)}</b><span>{escape(label)}</span></li>"
        for figure, label in (_of_many(result) if is_many(result) else _of_one(result))
    )
    return f'<ul class="facts">{items}</ul>'


def _of_one(result: Record) -> list[tuple[str, str]]:
    run, budget, target = result["run"], result["budget"], result["target"]
    metric = result["metric"]["name"]
    goal = text.metric_value(target["value"], metric) if target else "none"
    fresh = len(budget["final_seeds"])
    whole = run["finished"] == run["planned"]
    return [
        (goal, f"target: {text.spaced(metric)}" if target else "target"),
        *_entrants(result),
        (f"{budget['trials']} × {len(budget['tuning_seeds'])}", _tuned(budget["search"])),
        (str(fresh), "fresh seed to judge" if fresh == 1 else "fresh seeds to judge"),
        (f"{run['finished']:,}", "trials" if whole else f"of {run['planned']:,} trials"),
        _time([run]),
    ]


def _of_many(result: Record) -> list[tuple[str, str]]:
    races = result["races"]
    finished = sum(race["run"]["finished"] for race in races)
    return [
        (str(len(races)), "tasks"),
        *_entrants(result),
        (f"{finished:,}", "trials"),
        (str(result["profiles"]["unsolved"]), "tasks solved by nobody"),
        _time([race["run"] for race in races]),
    ]


def _time(runs: Sequence[Record]) -> tuple[str, str]:
    """How long the races took by the clock; where that is not known, the time of their training,
    which is longer where several trained at once.
    """
    walls = [run.get("wall_seconds") for run in runs]
    known = [wall for wall in walls if wall is not None]
    if len(known) < len(runs):
        return text.duration(sum(run["seconds"] for run in runs)), "of training"
    again = any(run["reused"] for run in runs)
    return text.duration(sum(known)), "in the last call" if again else "in all"


def _tuned(search: str) -> str:
    if search == "halving":  # it runs more points than that, most of them not to their end
        return "full points × seeds, the budget of tuning"
    return "points × seeds of tuning"


def _entrants(result: Record) -> list[tuple[str, str]]:
    number = len(names(result))
    return [(str(number), "optimizer" if number == 1 else "optimizers")]
