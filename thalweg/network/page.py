"""The page of a model's graph: the picture, by what it is coloured, and a table of the nodes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from thalweg.errors import TaskError
from thalweg.files import write_text
from thalweg.network.drawing import drawing
from thalweg.network.shown import MEASURES, amount, shades, shape_words
from thalweg.report.parts.offline import asset, framed
from thalweg.report.parts.target import free_page

MOST_BYTES = 2**20

_SCROLL = (
    ".scroll { overflow: auto; max-height: 78vh; margin: 12px 0 0; border: 1px solid var(--line); "
    "border-radius: 8px; } @media print { .scroll { max-height: none; overflow: visible; border: 0; } }"
)


def write_graph_page(
    record: Mapping[str, Any], path: str | os.PathLike[str], *, over: bool = False
) -> Path:
    """Write the page of a graph, whole or not at all: one file that needs nothing else.

    Raises:
        TaskError: the path does not end in .html, or is taken; or the graph is too large for a page.
    """
    page = free_page(path, "The page of a graph", "--html", over=over)
    text = graph_page(record)
    if len(text.encode()) > MOST_BYTES:
        raise TaskError(
            f"The graph has {len(record['nodes'])} nodes, too many for a page of 1 MB. Fold its blocks "
            "(without --unfold), or draw it by --svg."
        )
    write_text(page, text)
    return page


def graph_page(record: Mapping[str, Any]) -> str:
    """Return the page of a graph as the text of one HTML page."""
    known = shades(record)
    buttons = "".join(
        f'<button type="button" data-measure="{key}" aria-pressed="{str(not k).lower()}">'
        f"{MEASURES[key]}</button>"
        for k, key in enumerate(known)
    )
    data = {
        "record": record,
        "measures": MEASURES,
        "shades": {
            key: [None if s is None else asdict(s) for s in each] for key, each in known.items()
        },
    }
    title = escape(f"Graph of {record['model']}: {record['task']}")
    body = f"""<header>
<p class="kicker">thalweg graph · {escape(record["task"])}</p>
<h1>{escape(record["model"])}</h1>
<p class="verdict">{escape(headline(record))}</p>
<ul class="facts">{_facts(record)}</ul>
</header>
<section class="card">
<div class="head"><h2>What follows what</h2>
<div class="views" role="group" aria-label="Colour by">{buttons}</div></div>
<p class="hint">{escape(_hint(record, "gradient" in known))}</p>
{_verdicts(record)}<div class="scroll">{drawing(record)}</div>
<dl id="said" aria-live="polite"></dl>
<details><summary>All nodes as a table</summary><dl>{_table(record)}</dl></details>
<div class="save"><button type="button" data-save="svg" title="The picture">SVG</button>\
<button type="button" data-save="csv" title="The nodes">CSV</button>\
<button type="button" data-save="json" title="All of it">JSON</button></div>
<noscript><p>Colours and buttons need JavaScript; picture and table do not.</p></noscript>
</section>"""
    return framed(
        body,
        title=title,
        style=f"{asset('page.css')}{_SCROLL}",
        data={"network": data, "alone": drawing(record, alone=True)},
        scripts=[asset("save.js"), asset("network.js")],
    )


def headline(record: Mapping[str, Any]) -> str:
    """Return in one sentence how large a model is, and how its graph was found."""
    how = {
        "a batch": "recorded while a batch ran through",
        "torch.fx": "traced by torch.fx, without shapes and FLOPs",
    }.get(
        record["found_by"],
        "it could be neither recorded nor traced: the order of its modules, not the data flow",
    )
    folded = sum(b["repeats"] > 1 for b in record["blocks"])
    blocks = f", {folded} repeated block{'s' * (folded > 1)} shown once" if folded else ""
    return f"{record['calls']} calls{blocks}; {how}."


def _facts(record: Mapping[str, Any]) -> str:
    facts = [(amount(record["parameters"]), "parameters")]
    if record["trainable"] != record["parameters"]:
        facts.append((amount(record["trainable"]), "of them trainable"))
    if record["flops"] and record["rows"]:
        facts.append((amount(record["flops"]), "FLOPs a row, forward"))
    if record["flops_backward"] and record["rows"]:
        facts.append((amount(record["flops_backward"]), "FLOPs a row, backward"))
    return "".join(f"<li><b>{escape(n)}</b><span>{escape(w)}</span></li>" for n, w in facts)


def _hint(record: Mapping[str, Any], has_gauges: bool) -> str:
    hint = (
        "The stronger the colour, the more. Shapes and FLOPs are of one row; FLOPs forward, 2 for a "
        "multiplication with its addition, 0 for what works element by element. Arrow keys move between "
        "nodes."
    )
    if has_gauges:
        first, last = record["steps"]
        return (
            f"{hint} Gradient norm and update / weight are medians of samples from step {first} to "
            f"{last}; of a repeated block the range."
        )
    return f"{hint} Colours by gradient and update: give a run that recorded gauges."


def _verdicts(record: Mapping[str, Any]) -> str:
    """Return what the doctor says of nodes, which have a mark, and of the run as a whole."""
    at = [each for node in record["nodes"] for each in node["verdicts"]]
    if not at and not record["elsewhere"]:
        return ""
    lines = "".join(
        f"<li>{escape(verdict_words(each))}</li>" for each in [*at, *record["elsewhere"]]
    )
    return f'<ul class="notes">{lines}</ul>'


def verdict_words(verdict: Mapping[str, str]) -> str:
    """Return a verdict in one line."""
    place = f" in {verdict['where']}" if verdict["where"] else ""
    name = verdict["symptom"].replace("_", " ")
    return f"{verdict['kind'].capitalize()}: {name}{place} ({verdict['status']}). {verdict['words']}".strip()


def _table(record: Mapping[str, Any]) -> str:
    rows = []
    for node in record["nodes"]:
        many = f" × {node['repeats']}" if node["repeats"] > 1 else ""
        figures = [node["label"], shape_words(node, record["rows"])]
        figures += [f"{amount(node['parameters'])} parameters"] if node["parameters"] else []
        figures += [f"{amount(node['flops'])} FLOPs"] if node["flops"] else []
        rows.append(
            f"<dt>{escape((node['name'] or node['label']) + many)}</dt>"
            f"<dd>{escape('; '.join(filter(None, figures)))}</dd>"
        )
    return "".join(rows)
