"""A plane as SVG: the loss as shade and contour lines, and the ways of the runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from thalweg.landscape.contours import contour, image_of, levels_of
from thalweg.numeric import plural
from thalweg.report.parts.axes import round_step
from thalweg.report.parts.offline import asset

WIDE = 760
"""Width of the picture in its own units."""
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 12, 14, 48
_ENOUGH = 46
"""A line with a label is at least so many pixels long."""
_APART = 22
"""So far is a label from paths."""


def drawing(record: Mapping[str, Any], style: str = "", below: str = "", room: float = 0.0) -> str:
    """Return the plane as the text of an SVG element.

    Args:
        record: what `landscape_record` returns, without numbers that are not finite.
        style: the colours of a picture that no page gives them.
        below: what is drawn below the plane, as text of SVG.
        room: the height that it takes.
    """
    xs, ys = record["xs"], record["ys"]
    step = (WIDE - _LEFT - _RIGHT) / (xs[-1] - xs[0])
    high = step * (ys[-1] - ys[0])
    tall = high + _TOP + _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + (x - xs[0]) * step, _TOP + (ys[-1] - y) * step

    box = f'x="{_LEFT}" y="{_TOP}" width="{WIDE - _LEFT - _RIGHT}" height="{high:.1f}"'
    # the image has a pixel around each point, and reaches half of one beyond
    across, down = step * (xs[1] - xs[0]), step * (ys[1] - ys[0])
    wide_image = (
        f'x="{_LEFT - across / 2:.2f}" y="{_TOP - down / 2:.2f}" width="{across * len(xs):.2f}" '
        f'height="{down * len(ys):.2f}" preserveAspectRatio="none"'
    )
    images = "".join(
        f'<image class="{scheme}" {wide_image} href="{image_of(record["loss"], colour)}"/>'
        for scheme, colour in (("on-light", "#0b5f8a"), ("on-dark", "#6cb8e0"))
    )
    paths = "".join(_path(path, k, at) for k, path in enumerate(record["paths"]))
    label = escape(
        f"The loss of {record['task']} on a plane, with {plural(len(record['paths']), 'run')}", True
    )
    return (
        f'<svg class="plane" viewBox="0 0 {WIDE} {tall + room:.0f}" role="img" aria-label="{label}" '
        f'xmlns="http://www.w3.org/2000/svg"><style>{style}{asset("landscape.css")}</style>'
        f'<clipPath id="plane-box"><rect {box}/></clipPath><g clip-path="url(#plane-box)">{images}'
        f'{_contours(record, at)}</g><rect class="box" {box}/>{_axes(record, at)}{paths}'
        f'<g transform="translate(0 {tall:.0f})">{below}</g></svg>'
    )


def _contours(record: Mapping[str, Any], at: Any) -> str:
    parts = []
    ways = np.array([at(x, y) for path in record["paths"] for x, y in _dense(path)])
    for k, level in enumerate(levels_of(record["loss"])):
        lines = [[at(x, y) for x, y in line.tolist()] for line in contour(record, level)]
        drawn = "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line) for line in lines)
        parts.append(f'<path class="contour" d="{drawn}"/>' if drawn else "")
        if k % 3 == 1 and lines:
            parts.append(_level(max(lines, key=_length), level, ways))
    return "".join(parts)


def _dense(path: Mapping[str, Any]) -> np.ndarray:
    """Return points of a path with others between them, by which a label sees that it is in the way."""
    count = len(path["x"])
    fine = np.linspace(0, count - 1, max(1, 20 * (count - 1)))
    return np.stack([np.interp(fine, range(count), path[axis]) for axis in "xy"], axis=1)


def _length(line: Sequence[tuple[float, float]]) -> float:
    return sum(math.dist(a, b) for a, b in itertools.pairwise(line))


def _level(line: Sequence[tuple[float, float]], level: float, ways: np.ndarray) -> str:
    """Return the label of a contour line, as near to its middle as paths allow; none on a short one."""
    if _length(line) < _ENOUGH:
        return ""
    middle = len(line) // 2
    for k in sorted(range(len(line)), key=lambda k: abs(k - middle)):
        x, y = line[k]
        if np.hypot(ways[:, 0] - x, ways[:, 1] - y).min() > _APART:
            return f'<text class="level" x="{x:.1f}" y="{y + 4:.1f}">{level:.3g}</text>'
    return ""


def _path(path: Mapping[str, Any], place: int, at: Any) -> str:
    points = [at(x, y) for x, y in zip(path["x"], path["y"], strict=True)]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.7"/>' for x, y in points[1:-1])
    x, y = points[0]
    start = f'<circle class="start" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>' if len(points) > 1 else ""
    x, y = points[-1]
    return (
        f'<g class="way" style="--c:var(--e{place})"><path class="halo" d="M{line}"/>'
        f'<path d="M{line}"/>{dots}{start}<circle class="now" data-way="{place}" cx="{x:.1f}" '
        f'cy="{y:.1f}" r="6"/></g>'
    )


def _axes(record: Mapping[str, Any], at: Any) -> str:
    xs, ys = record["xs"], record["ys"]
    left, bottom = at(xs[0], ys[0])
    parts = [
        f'<text x="{at(value, ys[0])[0]:.1f}" y="{bottom + 18:.1f}">{_signed(value)}</text>'
        for value in _ticks(xs[0], xs[-1])
    ]
    parts += [
        f'<text class="side" x="{left - 7:.1f}" y="{at(xs[0], value)[1] + 4:.1f}">{_signed(value)}</text>'
        for value in _ticks(ys[0], ys[-1])
    ]
    names = axis_names(record)
    parts.append(
        f'<text class="title" x="{(_LEFT + WIDE - _RIGHT) / 2:.0f}" y="{bottom + 40:.1f}">'
        f"{_title(names[0])}</text>"
    )
    middle = (at(xs[0], ys[-1])[1] + bottom) / 2
    parts.append(
        f'<text class="title" transform="translate(19 {middle:.0f}) rotate(-90)">{_title(names[1])}</text>'
    )
    return "".join(parts)


def _title(name: str) -> str:
    """Return the name of an axis; what stands in brackets is left out where the picture is small."""
    short, _, rest = name.partition(" (")
    more = f'<tspan class="more"> ({escape(rest)}</tspan>' if rest else ""
    return f"{escape(short)}{more}"


def _signed(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def axis_names(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the axes of a plane are."""
    if record["plane"] == "random":
        return "first random direction", "second random direction"
    shares = [f" ({100 * share:.1f} % of the variance)" for share in record["explained"]]
    if record["plane"] == "line":
        return "along the line", "a random direction"
    return f"first component{shares[0]}", f"second component{shares[1]}"


def _ticks(low: float, high: float) -> list[float]:
    step = round_step(high - low)
    return [round(k * step, 10) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
