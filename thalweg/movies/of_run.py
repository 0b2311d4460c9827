"""The movie of a run: its losses and metrics, and norms by parameter and step, with one scrubber."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import CheckpointError, TaskError
from thalweg.files import write_text
from thalweg.report.data.text import spaced
from thalweg.report.parts.offline import asset, framed
from thalweg.report.parts.target import free_page
from thalweg.train.folder.gauges import Gauges, read_gauges
from thalweg.train.folder.reading import SavedRun

own = partial(asset, package="thalweg.movies")

QUANTITIES = {"gradient": "Gradient", "update": "Update", "weight": "Weight"}
"""What the heat maps show, in root mean squares."""
_MOST = 40_000
"""Numbers of a heat map in a page; of more, samples are left out evenly."""
_NOT_FINITE = 9999
_ENDS = {
    "epochs": "The run ended after all of its epochs.",
    "gradients": "The run ended with its budget of gradients.",
    "target": "The run ended at its target.",
    "early stopping": "The run ended by early stopping.",
}


def write_run_movie(
    run: SavedRun, path: str | os.PathLike[str], *, over: bool = False, option: str = "--out"
) -> Path:
    """Write the movie of a run, whole or not at all.

    Raises TaskError as `page` and `free_page` do.
    """
    target = free_page(path, "The page of a movie", option, over=over)
    write_text(target, page(run))
    return target


def run_record(run: SavedRun) -> dict[str, Any]:
    """Return a run as plain data: curves by step, and by sample and parameter log₁₀ of each norm · 100.

    A norm of 0 is null, one that is not finite 9999.

    Raises:
        TaskError: the run has no gauges, or they were edited.
    """
    gauges = _gauges(run)
    steps = gauges.arrays["steps"].tolist()
    chosen = _thinned(len(steps), max(2, _MOST // len(gauges.parameters)))
    losses = gauges.arrays.get("step_loss")
    known = (
        {step: float(value) for step, value in zip(steps, losses, strict=True)}
        if (losses is not None and len(losses) == len(steps))
        else {}
    )
    return {
        "schema": "thalweg.run_movie/1",
        "run": run.name,
        "task": run.task_name,
        "optimizer": run.optimizer_name,
        "ended": run.state,
        "steps": [int(steps[k]) for k in chosen],
        "lr": [_plain(gauges.arrays["lr"][k]) for k in chosen],
        "loss": [_plain(known.get(steps[k], math.nan)) for k in chosen],
        "parameters": list(gauges.parameters),
        "maps": {name: [_logs(gauges.arrays[name][k]) for k in chosen] for name in QUANTITIES},
        "curves": _curves(run),
    }


def page(run: SavedRun) -> str:
    """Return the movie of a run as the text of one HTML page.

    Raises:
        TaskError: where the run has no gauges.
    """
    record = run_record(run)
    title = f"{record['task']}, {record['optimizer']}"
    body = f"""<header>
<p class="kicker">thalweg movie · {escape(record["run"])}</p>
<h1>{escape(title)}</h1>
<p class="verdict">{escape(_words(record))}</p>
</header>
<section class="card" aria-label="Movie">
<div id="player"></div>
<p id="now" class="hint" aria-live="off"></p>
<div class="curves">{_curve_stages(record)}</div>
<div class="maps">{_map_stages(record)}</div>
<p class="hint">Root mean squares by parameter (rows) and step (columns), first layers on top; the stronger \
the colour, the larger, on a logarithmic scale of each picture's own. Touch a picture to go to a step. Keys: \
space plays, ← and → step, with shift ten, Home and End.</p>
<div class="save"><button type="button" data-save="csv" title="All norms">CSV</button>\
<button type="button" data-save="svg" title="The pictures as they are">SVG</button>\
<button type="button" data-save="gif" title="An animated picture of the run">GIF</button>\
<button type="button" data-save="json" title="All of it">JSON</button></div>
<noscript><p>The movie needs JavaScript.</p></noscript>
</section>"""
    style = f"{asset('page.css')}{own('movie.css')}{own('of_run.css')}"
    return framed(
        body,
        title=escape(f"Movie of {record['run']}"),
        style=style,
        data={"film": record},
        scripts=[asset("save.js"), own("player.js"), own("gif.js"), own("of_run.js")],
    )


def _gauges(run: SavedRun) -> Gauges:
    try:
        gauges = read_gauges(run.folder)
    except CheckpointError as error:
        raise TaskError(
            f"The run {run.name} has no gauges to show: train it with thalweg train … --gauges 10. ({error})."
        ) from None
    samples = gauges.arrays.get("steps", torch.zeros(0)).shape
    shape = (*samples, len(gauges.parameters))
    fits = all(gauges.arrays.get(n, torch.zeros(0)).shape == shape for n in QUANTITIES)
    lr = gauges.arrays.get("lr", torch.zeros(0)).shape
    if len(samples) != 1 or 0 in shape or not fits or lr != samples:
        raise TaskError(f"The gauges of the run {run.name} are empty, or were edited.")
    return gauges


def _thinned(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def _logs(row: Tensor) -> list[int | None]:
    found: list[int | None] = []
    for value in row.tolist():
        if not math.isfinite(value):
            found.append(_NOT_FINITE)
        else:
            found.append(round(100 * math.log10(value)) if value > 0 else None)
    return found


def _curves(run: SavedRun) -> list[dict[str, Any]]:
    """Return the figures of the history by step: the losses, then each metric of both sets."""
    rows = [each.as_dict() for each in run.history]
    names = {name for row in rows for name in row}
    metrics = sorted(
        {name.partition("_")[2] for name in names if name.startswith(("train_", "validation_"))},
        key=lambda name: (name != "loss", name),
    )
    found = []
    for metric in metrics:
        for split in ("train", "validation"):
            key = f"{split}_{metric}"
            points = [[int(r["step"]), _plain(r[key])] for r in rows if key in r]
            if points:
                found.append({"figure": metric, "set": split, "points": points})
    return found


def _figures(record: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(["loss", *(curve["figure"] for curve in record["curves"])]))


def _curve_stages(record: dict[str, Any]) -> str:
    return "".join(
        f"<figure><figcaption>{escape(spaced(name).capitalize())}<span>{_key(record, name)}</span>"
        f'</figcaption><div class="stage curve" data-figure="{escape(name, quote=True)}" role="img" '
        f'aria-label="{escape(spaced(name), quote=True)} against the step"></div></figure>'
        for name in _figures(record)[:2]
    )


def _key(record: dict[str, Any], figure: str) -> str:
    """Return the names of a figure's curves beside their colours."""
    sets = [curve["set"] for curve in record["curves"] if curve["figure"] == figure]
    inks = {"batch": "--faint", "train": "--soft", "validation": "--accent"}
    return " ".join(
        f'<span class="name" style="--c:var({inks[each]})">{each}</span>'
        for each in (["batch"] if figure == "loss" else []) + sets
    )


def _map_stages(record: dict[str, Any]) -> str:
    names = {**QUANTITIES, "ratio": "Update / weight"}
    tall = 20 + min(max(18 * len(record["parameters"]), 72), 440)
    return "".join(
        f'<figure><figcaption>{title}<output data-span="{key}"></output></figcaption><div class="stage map" '
        f'style="height:{tall}px" data-map="{key}" role="img" aria-label="{title} by parameter and '
        'step"></div></figure>'
        for key, title in names.items()
    )


def _words(record: dict[str, Any]) -> str:
    count, last = len(record["steps"]), record["steps"][-1]
    ended = _ENDS.get(record["ended"], f"The run ended: {record['ended']}.")
    return f"{count} samples up to step {last}, of {len(record['parameters'])} parameters. {ended}"


def _plain(value: Any) -> float | None:
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None


def find_run(target: str, parents: Sequence[Path]) -> SavedRun | None:
    """Return the run that a text means: a folder, or the name of one in `parents`; None where there is none.

    Raises:
        TaskError: the folder's record cannot be read.
    """
    from thalweg.train.folder.layout import RUN
    from thalweg.train.folder.reading import load_run

    for folder in (Path(target), *(parent / target for parent in parents)):
        if (folder / RUN).is_file():
            try:
                return load_run(folder)
            except CheckpointError as error:
                raise TaskError(str(error)) from None
    return None
