"""The page of a model's curvature: the spectral density, the sharpness along the run, and every figure."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.numeric import without_nonfinite
from thalweg.report.data import text
from thalweg.report.parts.axes import log_axis
from thalweg.report.parts.palette import Colour
from thalweg.report.plots.one_figure import Saved, figure_page
from thalweg.report.words.curvature import Line, along_lines, curvature_lines, layer_lines

_PALETTE = (Colour("#0072b2", "#4ba3e0"), Colour("#d04a02", "#ff8147"))
_SPECTRUM, _EDGE = range(2)
_DECADES = 6
"""How far below its peak the density is drawn."""
_NEAR = 3.0
"""The edge is drawn in the picture of the spectrum up to this multiple of the largest place there."""


def write_curvature_page(record: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write the page of a model's curvature, whole or not at all: it needs nothing else, no network included.

    The spectral density has a band of ± its standard error, and a line at the largest eigenvalue that the
    optimizer is stable at, where that is one of the same matrix. Below it is the sharpness along the run,
    where that was recorded; then the ends of each layer's spectrum and every figure with its error and cost.

    Args:
        record: what `thalweg curvature --json` prints.
        path: the HTML file; its folder is made if need be.

    Raises:
        ValueError: a path that does not end in .html.
    """
    target = Path(path)
    if target.suffix.lower() != ".html":
        raise ValueError(f"The page must be a file that ends in .html; got {os.fspath(path)!r}.")
    write_text(target, curvature_page(record))
    return target


def curvature_page(record: Mapping[str, Any]) -> str:
    """Return the page as the text of one HTML page."""
    plain = without_nonfinite(record)
    figure = _figure(plain)
    title = f"{plain['matrix'].capitalize()} of {plain['task']}"
    epochs = plain["epochs"]
    after = "before training" if not epochs else f"after {epochs} epoch{'s' * (epochs > 1)}"
    return figure_page(
        figure,
        title=escape(f"Curvature: {title}"),
        header=f"""<p class="kicker">thalweg curvature</p>
<h1>{escape(title)}</h1>
<p class="verdict">{text.typeset(escape(_verdict(plain)))}</p>
<p class="hint">{escape(f"{after} of {plain['optimizer']}, seed {plain['seed']}; ".capitalize())}\
{plain["parameters"]:,} parameters, {escape(plain["mode"])}.</p>""",
        below=_below(plain),
        palette=_PALETTE,
        saved=Saved(
            file=f"curvature-{plain['task']}",
            columns=("curve", "x", "y"),
            names=[trace["name"] for trace in figure["data"]],
            record=plain,
        ),
        tall=620 if plain.get("along") else 380,
    )


def _verdict(record: Mapping[str, Any]) -> str:
    sharp = record["sharpness"]
    top, bottom = record["eigenvalues"]["largest"][0], record["eigenvalues"]["smallest"][0]
    ends = f"Eigenvalues from {bottom:.3g} to {top:.3g}."
    if sharp is None or sharp["ratio"] is None:
        return ends
    grow = "above that steps grow" if sharp["ratio"] > 1 else "below 1 it is stable"
    return (
        f"{ends} The sharpness is {sharp['ratio']:.2g} of what {sharp['optimizer']} with lr {sharp['lr']:g} "
        f"is stable at: {grow}."
    )


def _below(record: Mapping[str, Any]) -> str:
    hint = (
        "The spectral density with a band of ± its standard error, on a logarithmic scale: how many "
        "eigenvalues lie where. "
    )
    if _edge(record) is not None:
        hint += "Dashed: the largest eigenvalue at which the optimizer is stable. "
    elif record["sharpness"] is not None:
        hint += (
            "Not drawn is the largest eigenvalue at which the optimizer is stable: it lies far to the "
            "right, or is one of P⁻¹H, P the optimizer's preconditioner; see the figures. "
        )
    if record.get("along"):
        hint += (
            "Below it the sharpness along the run, and dashed what the optimizer is stable up to."
        )
    sections = (("Figures", curvature_lines(record)), ("Ends by layer", layer_lines(record)))
    parts = [f"<h2>{name}</h2><dl>{_list(lines)}</dl>" for name, lines in sections if lines]
    points = along_lines(record.get("along") or ())
    if points:  # as many as the picture has
        parts.append(f"<details><summary>Along the run</summary><dl>{_list(points)}</dl></details>")
    notes = "".join(f"<li>{escape(str(note))}</li>" for note in record["notes"])
    total = f"{record['gradients']:.0f} gradients in all; one is the gradient over the rows used."
    return (
        f'<p class="hint">{hint}</p>\n'
        f"{f'<ul class=notes>{notes}</ul>' if notes else ''}{''.join(parts)}\n"
        f'<p class="hint">{total}</p>'
    )


def _list(lines: Sequence[Line]) -> str:
    return "".join(
        f"<dt>{escape(name.strip())}</dt>"
        f"<dd>{text.typeset(escape(figure))}{f' · {text.typeset(escape(spent))}' if spent else ''}</dd>"
        for name, figure, spent in lines
    )


def _edge(record: Mapping[str, Any]) -> float | None:
    """Return the largest stable eigenvalue of the matrix that is drawn, if there is one near it."""
    sharp = record["sharpness"]
    if sharp is None or sharp["is_scaled"] or sharp["stable_up_to"] is None:
        return None
    edge = float(sharp["stable_up_to"])
    return edge if edge <= _NEAR * max(record["density"]["x"]) else None


def _figure(record: Mapping[str, Any]) -> dict[str, Any]:
    points = record.get("along") or ()
    traces, layout = _spectrum(record, [0.56, 1.0] if points else [0.0, 1.0])
    if points:
        traces += _along(points)
        layout |= _along_axes(points)
    layout |= {}
    return {"data": traces, "layout": layout}


def _spectrum(
    record: Mapping[str, Any], domain: list[float]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    curve = record["density"]
    floor = max(curve["density"]) * 10.0**-_DECADES
    errors = [each or 0.0 for each in curve["stderr"]]
    middle = [max(value, floor) for value in curve["density"]]
    rows = zip(curve["density"], errors, strict=True)
    band = [(max(value - error, floor), max(value + error, floor)) for value, error in rows]
    traces = [
        _trace("density, less its error", curve["x"], [low for low, _ in band], width=0.0),
        _trace("density, plus its error", curve["x"], [high for _, high in band], width=0.0),
        _trace("density", curve["x"], middle),
    ]
    traces[1] |= {"fill": "tonexty"}
    for each in traces[:2]:
        each["hoverinfo"] = "skip"
    traces[2]["hovertemplate"] = "%{y} at %{x}"
    tops = [high for _, high in band]
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "eigenvalue"}},
        "yaxis": {
            "title": {"text": "spectral density"},
            **log_axis([floor, *tops], 0.03),
            "domain": domain,
        },
    }
    edge = _edge(record)
    if edge is not None:
        layout |= _edge_line(edge, record["sharpness"], domain)
        low, high = min(curve["x"]), max(*curve["x"], edge)
        room = 0.03 * (high - low)
        layout["xaxis"]["range"] = [low - room, high + room]
    return traces, layout


def _edge_line(edge: float, sharp: Mapping[str, Any], domain: list[float]) -> dict[str, Any]:
    """Return the line at the edge of stability and its label, as parts of the layout."""
    line = {
        "xref": "x",
        "yref": "paper",
        "x0": edge,
        "x1": edge,
        "y0": domain[0],
        "y1": domain[1],
        "line": {"width": 1.6, "dash": "dash"},
    }
    label = {
        "text": f"{sharp['threshold']:.3g}/lr = {edge:.4g}",
        "xref": "x",
        "yref": "paper",
        "x": edge,
        "y": domain[1],
        "xanchor": "right",
        "yanchor": "bottom",
    }
    return {"shapes": [line], "annotations": [label]}


def _along(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    steps = [point["step"] for point in points]
    measured = _trace("sharpness", steps, [point["sharpness"] for point in points], axis="2")
    measured |= {
        "mode": "lines+markers",
        "marker": {"size": 5},
        "error_y": {
            "array": [point["residual"] for point in points],
        },
        "hovertemplate": "%{y} after step %{x}",
    }
    known = [point for point in points if point["stable_up_to"]]
    if not known:
        return [measured]
    limit = _trace(
        "stable up to",
        [point["step"] for point in known],
        [point["stable_up_to"] for point in known],
        axis="2",
        place=_EDGE,
    )
    limit["line"]["dash"] = "dash"
    limit["hovertemplate"] = "stable up to %{y}"
    return [measured, limit]


def _along_axes(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    heights = [
        value
        for point in points
        for value in (point["sharpness"], point["stable_up_to"])
        if value and value > 0 and math.isfinite(value)
    ]
    return {
        "xaxis2": {
            "title": {"text": "step"},
            "anchor": "y2",
        },
        "yaxis2": {
            "title": {"text": "sharpness"},
            **log_axis(heights, 0.08),
            "domain": [0.0, 0.38],
            "anchor": "x2",
        },
    }


def _trace(
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    *,
    axis: str = "",
    place: int = _SPECTRUM,
    width: float = 2.2,
) -> dict[str, Any]:
    return {
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "line": {"width": width},
        "meta": place,
    }
