"""How a figure goes through the layers of a model: lines with bands, drawn as SVG without a script."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from thalweg.report.parts.axes import round_step
from thalweg.report.parts.palette import Colour, colours

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 14, 16, 48
_MOST_DOTS = 16
"""Layers up to which each has a dot, which says its name and numbers."""

Point = tuple[float, float, float]
"""Of a layer: its place from 1, the mean, and the standard deviation."""


@dataclass(frozen=True)
class DepthLine:
    """A line of the figure: a name, and for each layer its name, mean and standard deviation."""

    name: str
    layers: tuple[str, ...]
    points: tuple[tuple[float, float], ...]

    def runs(self) -> Iterator[list[Point]]:
        """Give the stretches without a gap: numbers that are not finite cannot be drawn."""
        run: list[Point] = []
        for place, (mean, std) in enumerate(self.points, start=1):
            if math.isfinite(mean) and math.isfinite(std):
                run.append((place, mean, std))
            elif run:
                yield run
                run = []
        if run:
            yield run


def depth_lines(strategies: Sequence[Mapping[str, Any]], figure: str) -> list[DepthLine]:
    """Return the lines of "activation" or "gradient" from what `InitComparison.to_dict()` gives."""
    return [
        DepthLine(
            each["strategy"],
            tuple(row["layer"] for row in each["layers"]),
            tuple(
                (_number(row[figure]["mean"]), _number(row[figure]["std"]))
                for row in each["layers"]
            ),
        )
        for each in strategies
    ]


def _number(value: float | None) -> float:
    return math.nan if value is None else value  # a file of JSON has None for what is not finite


def palette_of(strategies: Sequence[Mapping[str, Any]]) -> list[Colour]:
    """Return the colour of each strategy, in order."""
    names = [each["strategy"] for each in strategies]
    found = colours(names)
    return [found[name] for name in names]


def depth_svg(lines: Sequence[DepthLine], title: str) -> str:
    """Return a figure: a line for each name, with a band of a standard deviation on both sides.

    The colours are the variables --e0, --e1, … of the page; text has that of the text around it.
    """
    last = max(len(line.points) for line in lines)
    drawn = [point for line in lines for run in line.runs() for point in run]
    low = min((mean - std for _, mean, std in drawn), default=0.0)
    high = max((mean + std for _, mean, std in drawn), default=1.0)
    ticks = _ticks(low, high)
    plane = _Plane(last, min(low, ticks[0]), max(high, ticks[-1]))
    bands = [_band(line, place, plane) for place, line in enumerate(lines)]
    curves = [
        _curve(line, place, plane, dots=last <= _MOST_DOTS) for place, line in enumerate(lines)
    ]
    names = ", ".join(line.name for line in lines)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" width="100%" '
        f'aria-label="{escape(title)} by layer, of {escape(names)}" '
        f'style="display:block;font:15px system-ui,sans-serif;fill:currentColor">'
        f"{_axes(plane, ticks, title)}{''.join(bands)}{''.join(curves)}</svg>"
    )


@dataclass(frozen=True)
class _Plane:
    """Where a layer and a value lie in the figure."""

    last: int
    low: float
    high: float

    def x(self, place: float) -> float:
        share = (place - 1) / max(1, self.last - 1)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers that span a range.

    >>> _ticks(-0.9, 1.3)
    [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
    """
    length = max(high - low, 1e-3)
    step = round_step(length)
    return [k * step for k in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _axes(plane: _Plane, ticks: Sequence[float], title: str) -> str:
    grid = "".join(
        f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{plane.y(t):.1f}" y2="{plane.y(t):.1f}" '
        f'stroke="currentColor" stroke-opacity="{0.3 if t == 0 else 0.12}"/>'
        f'<text x="{_LEFT - 7}" y="{plane.y(t) + 5:.1f}" text-anchor="end" opacity=".75">'
        f"{f'{t:.6g}'.replace('-', '−')}</text>"
        for t in ticks
    )
    step = max(1, round(round_step(plane.last)))
    layers = "".join(
        f'<text x="{plane.x(place):.1f}" y="{HEIGHT - _BOTTOM + 20}" text-anchor="middle" '
        f'opacity=".75">{place}</text>'
        for place in dict.fromkeys((1, *range(step, plane.last + 1, step)))
    )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    return (
        f'{grid}{layers}<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">layer, from the '
        f'inputs</text><text x="14" y="{(_TOP + HEIGHT - _BOTTOM) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {(_TOP + HEIGHT - _BOTTOM) / 2})">{escape(title)}</text>'
    )


def _band(line: DepthLine, place: int, plane: _Plane) -> str:
    shapes = []
    for run in line.runs():
        over = [f"{plane.x(x):.1f},{plane.y(mean + std):.1f}" for x, mean, std in run]
        under = [f"{plane.x(x):.1f},{plane.y(mean - std):.1f}" for x, mean, std in reversed(run)]
        shapes.append(
            f'<polygon points="{" ".join([*over, *under])}" fill="var(--e{place})" fill-opacity=".16"/>'
        )
    return "".join(shapes)


def _curve(line: DepthLine, place: int, plane: _Plane, *, dots: bool) -> str:
    shapes = []
    for run in line.runs():
        points = " ".join(f"{plane.x(x):.1f},{plane.y(mean):.1f}" for x, mean, _ in run)
        shapes.append(
            f'<polyline points="{points}" fill="none" stroke="var(--e{place})" stroke-width="2.2" '
            'stroke-linejoin="round"/>'
        )
        if dots or len(run) == 1:
            shapes += [
                f'<circle cx="{plane.x(x):.1f}" cy="{plane.y(mean):.1f}" r="3.6" '
                f'fill="var(--e{place})"><title>{escape(line.name)}, '
                f"{escape(line.layers[int(x) - 1])}: {mean:+.2f} ± {std:.2f}</title></circle>"
                for x, mean, std in run
            ]
    return "".join(shapes)
