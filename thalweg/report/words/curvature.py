"""What was measured of a model's curvature, as lines: what it is, the figure with its error, its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.numeric import plural

Line = tuple[str, str, str]
"""A name, a figure, and what it cost."""


def curvature_lines(record: Mapping[str, Any]) -> list[Line]:
    """Return the lines of the table: of the whole matrix, then of the optimizer.

    Args:
        record: what `CurvatureSummary.to_dict()` gives.
    """
    ends, noise, sharp = record["eigenvalues"], record["noise_scale"], record["sharpness"]
    lines: list[Line] = []
    for end in ("largest", "smallest"):
        for value, error in zip(ends[end], ends[f"{end}_errors"], strict=True):
            lines.append((f"{end} eigenvalue", within(value, error, 1), cost(ends["gradients"])))
    condition = record["condition"]
    lines.append(("condition", "inf" if condition is None else f"{condition:.4g}", ""))
    lines.append(_line("trace", record["trace"]))
    lines.append(_line("share below -1 % of largest", record["negative_share"]))
    if noise is not None:
        lines.append(_line(f"noise scale, rows of {noise['batch_rows']}", noise))
    if sharp is not None:
        lines.append(_line(f"sharpness of {sharp['optimizer']}", sharp))
        lines.append(("  stable up to", _figure(sharp["stable_up_to"]), f"lr {sharp['lr']:g}"))
        lines.append(("  share of that", f"{sharp['ratio']:.3g}", ""))
    return lines


def layer_lines(record: Mapping[str, Any]) -> list[Line]:
    """Return a line for each layer: its smallest and its largest eigenvalue."""
    return [
        (
            f"layer {name or '(the model)'}",
            f"{_end(each, 'smallest', 3)} to {_end(each, 'largest', 4)}",
            cost(each["gradients"]),
        )
        for name, each in record["layers"].items()
    ]


def along_lines(points: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Return a line for each point of a run: the sharpness, and its share of the stable one."""
    lines = []
    for point in points:
        figure = within(point["sharpness"], point["residual"], 1)
        if point["stable_up_to"]:
            share = point["sharpness"] / point["stable_up_to"]
            figure += f", {share:.3g} of {point['stable_up_to']:.4g}"
        lines.append((f"sharpness, step {point['step']}", figure, cost(point["gradients"])))
    return lines


def within(value: float, error: float | None, digits: int = 2) -> str:
    """Return a figure with its error.

    >>> within(3.14159, 0.0123)
    '3.142 ± 0.012'
    """
    return f"{value:.4g} ± {'nan' if error is None else format(error, f'.{digits}g')}"


def cost(gradients: float) -> str:
    """Return what a figure cost, in gradients over the rows used; nothing for 0."""
    count = round(gradients)
    return plural(count, "gradient") if gradients else ""


def _line(name: str, estimate: Mapping[str, Any]) -> Line:
    return name, within(estimate["value"], estimate["stderr"]), cost(estimate["gradients"])


def _end(ends: Mapping[str, Any], end: str, digits: int) -> str:
    return f"{ends[end][0]:.{digits}g} ± {ends[f'{end}_errors'][0]:.1g}"


def _figure(value: float | None) -> str:
    return "inf" if value is None else f"{value:.4g}"
