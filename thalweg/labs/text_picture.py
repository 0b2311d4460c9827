"""The picture of a lab for a terminal: its curves as letters on a grid of characters."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence

from thalweg.labs.picture import Axis, Line, Picture, Range, extent, scaled

_WIDTH, _HEIGHT = 72, 16
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Cells = list[list[str]]


def text_picture(picture: Picture) -> str:
    """Return the curves as text, a letter for each family, with the ends of both axes and a legend.

    Where curves cross, dots are on top of lines, and lines of those that are dashed. Without points that the
    axes can show it is empty.

    >>> from thalweg.labs.picture import Axis, Picture, curve
    >>> flat = Picture((curve("none", [1, 2], [0, 0]),), Axis("x"), Axis("y", log=True), "")
    >>> text_picture(flat)
    ''
    """
    across = extent(picture.x, [x for each in picture.curves for x in each.x])
    up = extent(picture.y, [y for each in picture.curves for y in each.y])
    if across is None or up is None:
        return ""
    families = picture.families()
    cells = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    lines = list(picture.curves)
    lines.sort(key=lambda line: (line.dots, not line.dash), reverse=True)
    for each in reversed(lines):  # of those that are alike the first is on top
        letter = _LETTERS[families.index(each.family or each.name) % len(_LETTERS)]
        _draw(cells, each, letter, picture, (across, up))
    return "\n".join(_framed(cells, picture, (across, up)) + _legend(families))


def _draw(
    cells: Cells, line: Line, letter: str, picture: Picture, ends: tuple[Range, Range]
) -> None:
    points = [
        (_place(x, ends[0], _WIDTH), _place(y, ends[1], _HEIGHT))
        for x, y in zip(scaled(line.x, picture.x), scaled(line.y, picture.y), strict=True)
        if x is not None and y is not None
    ]
    if line.line:
        pairs = itertools.pairwise(points)
        points = [point for a, b in pairs for point in _between(a, b)] or points
    for x, y in points:
        cells[_HEIGHT - 1 - round(y)][round(x)] = letter


def _place(value: float, ends: Range, size: int) -> float:
    """Return where a value lies along an axis, in characters."""
    low, high = ends
    return (value - low) / (high - low) * (size - 1) if high > low else (size - 1) / 2


def _between(a: tuple[float, float], b: tuple[float, float]) -> list[tuple[float, float]]:
    """Return points of a straight line, as many as it crosses characters."""
    count = max(1, math.ceil(max(abs(b[0] - a[0]), abs(b[1] - a[1]))))
    return [
        (a[0] + (b[0] - a[0]) * k / count, a[1] + (b[1] - a[1]) * k / count)
        for k in range(count + 1)
    ]


def _framed(cells: Cells, picture: Picture, ends: tuple[Range, Range]) -> list[str]:
    """Return the lines of the grid with both axes, their ends and their titles."""
    left, right, bottom, top = (
        _end(value, axis)
        for axis, pair in ((picture.x, ends[0]), (picture.y, ends[1]))
        for value in pair
    )
    wide = max(len(bottom), len(top))
    labels = [top, *[""] * (_HEIGHT - 2), bottom]
    rows = [
        f"{label:>{wide}} │{''.join(row)}".rstrip()
        for label, row in zip(labels, cells, strict=True)
    ]
    space = " " * (wide + 2)
    title = f"{picture.x.title}{' (log)' * picture.x.log}"
    room = max(_WIDTH - len(left) - len(right), len(title) + 2)
    return [
        f"{space}{picture.y.title}{' (log)' * picture.y.log}",
        *rows,
        f"{' ' * wide} └{'─' * _WIDTH}",
        f"{space}{left}{title:^{room}}{right}",
    ]


def _end(value: float, axis: Axis) -> str:
    return f"{(10**value if axis.log else value) + 0.0:.3g}"  # no −0


def _legend(families: Sequence[str]) -> list[str]:
    names = [f"{_LETTERS[k % len(_LETTERS)]}\u00a0{name}" for k, name in enumerate(families)]
    bound = [name.replace(" ", "\u00a0") for name in names]
    wrapped = textwrap.wrap("   ".join(bound), 96, break_long_words=False)
    return [f"  {line}".replace("\u00a0", " ") for line in wrapped]
