"""The report of a race, or of races over several tasks: one HTML file that needs nothing else.

The page holds its style, its scripts and the whole result as JSON, from which the figures
are drawn and which a reader can save. A content security policy forbids the browser to load
anything from elsewhere. Tables are plain HTML; scripts sort them, draw the figures and save.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.report.data import text
from thalweg.report.data.reading import Record, is_many, names, reads_result
from thalweg.report.parts.offline import asset, chart_scripts, framed
from thalweg.report.parts.palette import colours, variable
from thalweg.report.parts.section import Section, render
from thalweg.report.sections.across import across_sections
from thalweg.report.sections.cost import cost_section
from thalweg.report.sections.header import chips, header, notes_section, question
from thalweg.report.sections.learning import learning_section
from thalweg.report.sections.provenance import run_section
from thalweg.report.sections.ranking import ranking_section
from thalweg.report.sections.sensitivity import sensitivity_section
from thalweg.report.sections.tuning import tuning_section
from thalweg.report.sections.winner import winner_section
from thalweg.report.words.verdict import detail, headline


def write_race_report(result: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write the report of a race, or of races over several tasks, whole or not at all.

    Args:
        result: what `RaceResult.to_dict()` returns, or the same for several tasks.
        path: the HTML file to write; its folder is made if need be.

    Returns:
        The path.
    """
    target = Path(path)
    write_text(target, race_page(result))
    return target


@reads_result
def race_page(result: Mapping[str, Any]) -> str:
    """Return the report of a race, or of races over several tasks, as the text of one HTML page."""
    parts = _parts(result)
    figures = {
        f"{prefix}{section.key}": dict(section.figures)
        for prefix, sections in parts
        for section in sections
        if section.figures
    }
    tables = {
        f"{prefix}{section.key}": section.table
        for prefix, sections in parts
        for section in sections
        if section.table
    }
    shades = {name: variable(name) for name in names(result)}
    drawing = {"colours": shades, "figures": figures, "tables": tables}
    return framed(
        f"{header(result)}\n{chips(result)}\n{_body(result, parts)}",
        title=escape(question(result)),
        head='<meta name="color-scheme" content="light dark">\n',
        style=f"{asset('page.css')}{asset('race.css')}{_colour_styles(result)}",
        data={"race-data": result, "race-figures": drawing},
        scripts=[*chart_scripts(), asset("figures.js"), asset("save.js"), asset("tables.js")],
    )


def race_sections(result: Record) -> list[Section]:
    """Return the sections of one race that have something to show, in their order."""
    sections = (
        ranking_section(result),
        learning_section(result),
        sensitivity_section(result),
        tuning_section(result),
        cost_section(result),
        winner_section(result),
        run_section(result),
        notes_section(result),
    )
    return [section for section in sections if section is not None]


def _parts(result: Record) -> list[tuple[str, list[Section]]]:
    """The sections of the page, each part with the prefix of its anchors."""
    if not is_many(result):
        return [("", race_sections(result))]
    found = notes_section(result)
    return [
        ("", [*across_sections(result), *([found] if found else [])]),
        *((f"task-{k}-", race_sections(race)) for k, race in enumerate(result["races"])),
    ]


def _body(result: Record, parts: Sequence[tuple[str, list[Section]]]) -> str:
    shared = "".join(render(section) for section in parts[0][1])
    if not is_many(result):
        return shared
    tabs = "".join(
        f'<a href="#task-{k}">{escape(task)}</a>' for k, task in enumerate(result["costs"]["tasks"])
    )
    tasks = "".join(
        f'<section class="task" id="task-{k}" data-race="{k}" aria-labelledby="task-{k}-name">'
        f'<h2 id="task-{k}-name">{escape(result["costs"]["tasks"][k])}</h2>'
        f'<p class="verdict">{text.unbroken(escape(headline(race)))}</p>'
        f'<p class="detail">{text.unbroken(escape(detail(race)))}</p>'
        f"{''.join(render(section, prefix, 3) for section in sections)}</section>"
        for k, (race, (prefix, sections)) in enumerate(zip(result["races"], parts[1:], strict=True))
    )
    return f'{shared}<nav class="tabs" aria-label="Tasks">{tabs}</nav>{tasks}'


def _colour_styles(result: Record) -> str:
    """Return the style of the entrants' colours, in the light and the dark scheme."""
    palette = colours(names(result)).items()
    light = "".join(f"{variable(name)}:{colour.light};" for name, colour in palette)
    dark = "".join(f"{variable(name)}:{colour.dark};" for name, colour in palette)
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
