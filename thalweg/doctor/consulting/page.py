"""The page of a consultation: the losses of its runs, the verdicts, and what the remedies did."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from thalweg.doctor.consulting.consultation import Consultation, Treatment
from thalweg.doctor.report import Report
from thalweg.doctor.verdict import Verdict
from thalweg.files import write_text
from thalweg.numeric import plural
from thalweg.report.data import text
from thalweg.report.parts.axes import log_axis
from thalweg.report.parts.palette import colours
from thalweg.report.parts.target import free_page
from thalweg.report.plots.one_figure import Saved, figure_page

GIVEN = "as given"
MARKS = {"fault": "Fault", "warning": "Warning", "information": "Information"}


def check_page(path: str | os.PathLike[str], *, over: bool = False) -> Path:
    """Return the path of a page that may be written.

    Raises TaskError as `free_page` does.
    """
    return free_page(path, "The doctor's page", "--html", over=over)


def write_doctor_page(
    found: Consultation, path: str | os.PathLike[str], *, over: bool = False
) -> Path:
    """Write the page of a consultation, whole or not at all: one file that needs nothing else.

    Raises TaskError as `check_page` does.
    """
    page = check_page(path, over=over)
    write_text(page, doctor_page(found))
    return page


def doctor_page(found: Consultation) -> str:
    """Return the page of a consultation as text."""
    report, task, name = found.report, found.run.task.name, found.recipe.chosen.name
    runs = {GIVEN: report, **_treated(found.treatments)}
    key = "".join(
        f'<li><span class="name" style="--c:var(--e{place})">{escape(name)}</span></li>'
        for place, name in enumerate(runs)
    )
    return figure_page(
        _figure(runs),
        title=escape(f"{task}: {_headline(report)}"),
        header=f"""<p class="kicker">thalweg doctor · {escape(task)}</p>
<h1>{escape(_headline(report))}</h1>
<p class="verdict">{escape(name)}, {report.steps} steps; {text.unbroken(escape(str(report.cost)))}.</p>""",
        below=f"""<ul class="key">{key}</ul>
{_treatments(found.treatments)}{_verdicts(report)}{_unwatched(report)}""",
        palette=list(colours(list(runs)).values()),
        saved=Saved("doctor", ("run", "step", "loss"), list(runs), found.to_dict()),
    )


def _headline(report: Report) -> str:
    faults = report.faults
    if not faults:
        return "No fault was found"
    names = ", ".join(dict.fromkeys(v.symptom.replace("_", " ") for v in faults))
    return f"{plural(len(faults), 'fault')}: {names}"


def _treated(treatments: tuple[Treatment, ...]) -> dict[str, Report]:
    """Return the report of each treatment by what was done, numbered where a remedy was taken twice."""
    found: dict[str, Report] = {}
    for each in treatments:
        name, place = str(each.remedy), 2
        while name in found:
            name, place = f"{each.remedy} ({place})", place + 1
        found[name] = each.report
    return found


def _figure(runs: Mapping[str, Report]) -> dict[str, Any]:
    values = [y for report in runs.values() for _, y in report.losses if math.isfinite(y)]
    is_log = bool(values) and min(values) > 0
    traces = [
        {
            "mode": "lines",
            "name": name,
            "x": [x for x, _ in report.losses],
            "y": [y if math.isfinite(y) else None for _, y in report.losses],
            "line": {"width": 1.8},
            "meta": place,
            "hovertemplate": "step %{x}: %{y}",
        }
        for place, (name, report) in enumerate(runs.items())
    ]
    layout = {
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {
            "title": {"text": "loss of the batches"},
            **(log_axis(values, 0.04) if is_log else {}),
        },
    }
    return {"data": traces, "layout": layout}


def _verdicts(report: Report) -> str:
    if not report.verdicts:
        return ""
    rows = "".join(map(_verdict, report.verdicts))
    return f"<h2>Verdicts</h2><dl>{rows}</dl>"


def _verdict(verdict: Verdict) -> str:
    place = f" in {escape(verdict.where)}" if verdict.where else ""
    since = "" if verdict.since is None else f", since step {verdict.since}"
    parts = [str(verdict.statistic)] if verdict.statistic is not None else []
    parts += [verdict.words] if verdict.words else []
    parts += [f"Remedy: {verdict.remedy}"] if verdict.remedy is not None else []
    parts += [f"Effect measured: {verdict.effect}"] if verdict.effect is not None else []
    said = "<br>".join(text.typeset(escape(part)) for part in parts)
    mark = MARKS[verdict.kind]
    return (
        f"<dt>{mark}: <b>{escape(verdict.symptom.replace('_', ' '))}</b>{place}<br>"
        f"<small>{verdict.status}{since}</small></dt><dd>{said}</dd>"
    )


def _treatments(treatments: tuple[Treatment, ...]) -> str:
    if not treatments:
        return ""
    rows = "".join(
        f"<dt>{escape(str(each.remedy))}<br><small>{escape(each.verdict.symptom)}</small></dt>"
        f"<dd>{_effect(each)}</dd>"
        for each in treatments
    )
    return f"<h2>Remedies that were taken</h2><dl>{rows}</dl>"


def _effect(each: Treatment) -> str:
    figures = "<br>".join(
        f"{escape(name)} {each.before.get(name, math.nan):.4g} → {value:.4g}"
        for name, value in each.after.items()
    )
    return figures if each.is_better else f"{figures}<br>no better, and undone"


def _unwatched(report: Report) -> str:
    if not report.unwatched:
        return ""
    lines = "".join(f"<li>{escape(what)}</li>" for what in report.unwatched)
    return f"<h2>Could not be watched</h2><ul>{lines}</ul>"
