"""The picture of a lab: curves over two axes, drawn as the report draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from thalweg.report.parts.drawn import Chart
from thalweg.report.parts.palette import Colour, colours
from thalweg.report.plots.one_figure import Saved, figure_page

Range = tuple[float, float]
_SEEN = 0.25
"""The share of an axis, at least, that each picture takes on axes that several share."""
_MARGIN = 0.04


@dataclass(frozen=True)
class Axis:
    """An axis: its title, and whether it is logarithmic."""

    title: str
    log: bool = False


@dataclass(frozen=True)
class Line:
    """Points joined by a `line`, shown as `dots`, or both; `dash` for what is fitted or of less interest.

    Curves of one `family` have one colour; each is its own family unless it says so.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    dots: bool = False
    line: bool = True
    dash: bool = False
    family: str | None = None


def curve(name: str, x: Sequence[float], y: Sequence[float], **how: Any) -> Line:
    """Return a curve of any sequences of numbers."""
    return Line(name, tuple(map(float, x)), tuple(map(float, y)), **how)


@dataclass(frozen=True)
class Picture:
    """Curves, their axes, and a sentence that says how to read them.

    `tiles` are small grey images below the picture, each a list of rows.
    """

    curves: tuple[Line, ...]
    x: Axis
    y: Axis
    hint: str
    tiles: tuple[Sequence[Sequence[float]], ...] = ()

    def families(self) -> list[str]:
        """Return what has a colour of its own, in order."""
        return list(dict.fromkeys(each.family or each.name for each in self.curves))

    def palette(self) -> list[Colour]:
        """Return the colour of each family."""
        names = self.families()
        found = colours(names)
        return [found[name] for name in names]

    def description(self, x: Range | None = None, y: Range | None = None) -> dict[str, Any]:
        """Return the figure as assets/chart.js of the report draws it.

        `x` and `y` are the ranges of the axes, of logarithms where an axis is logarithmic; None for those
        that the curves need.
        """
        families = self.families()
        traces = [
            _trace(each, families.index(each.family or each.name), self) for each in self.curves
        ]
        layout = {"xaxis": _axis(self.x, x), "yaxis": _axis(self.y, y)}
        return {"data": traces, "layout": layout}

    def legend(self) -> str:
        """Return the names of the curves beside their colours, as HTML that stands below the picture."""
        names = "".join(
            f'<li><span class="name{self._mark(name)}" style="--c:var(--e{place})">{escape(name)}</span></li>'
            for place, name in enumerate(self.families())
        )
        return f'<ul class="key">{names}</ul>'

    def _mark(self, family: str) -> str:
        """Return the class of a family's mark: a line or a dashed one, if all its curves are; else a dot."""
        own = [each for each in self.curves if (each.family or each.name) == family]
        if any(each.dots or not each.line for each in own):
            return ""
        return " dash" if all(each.dash for each in own) else " line"

    def chart(self, title: str) -> Chart:
        """Return the picture as a chart, whose page has a title and nothing else but the curves."""
        described = self.description()
        page = figure_page(
            described,
            title=escape(title),
            header=f"<h1>{escape(title)}</h1>",
            below=f'<p class="hint">{escape(self.hint)}</p>{self.legend()}',
            palette=self.palette(),
            saved=Saved(
                file="lab",
                columns=("curve", self.x.title, self.y.title),
                names=[each.name for each in self.curves],
                record=described,
            ),
        )
        return Chart(**described, page=page)


def shared_ranges(pictures: Sequence[Picture]) -> tuple[Range | None, Range | None]:
    """Return ranges of both axes that hold the curves of all pictures; None where one would hardly be seen.

    A picture that moves is read against axes that do not.
    """
    return (
        _shared([extent(each.x, [x for line in each.curves for x in line.x]) for each in pictures]),
        _shared([extent(each.y, [y for line in each.curves for y in line.y]) for each in pictures]),
    )


def extent(axis: Axis, values: Sequence[float]) -> Range | None:
    """Return the least and the largest value that an axis can show, as logarithms where it is so."""
    shown = [value for value in scaled(values, axis) if value is not None]
    return (min(shown), max(shown)) if shown else None


def scaled(values: Sequence[float], axis: Axis) -> list[float | None]:
    """Return the values along an axis, logarithms where it is so; None for what it cannot show."""
    return [
        value if value is None or not axis.log else math.log10(value)
        for value in _shown(values, axis)
    ]


def _shared(extents: Sequence[Range | None]) -> Range | None:
    known = [each for each in extents if each is not None]
    if len(extents) < 2 or len(known) < len(extents):
        return None
    low, high = min(each[0] for each in known), max(each[1] for each in known)
    if any(each[1] - each[0] < _SEEN * (high - low) for each in known) or not high > low:
        return None
    margin = _MARGIN * (high - low)
    return low - margin, high + margin


def _axis(axis: Axis, given: Range | None) -> dict[str, Any]:
    return {
        "title": {"text": axis.title},
        **({"type": "log"} if axis.log else {}),
        **({"range": list(given)} if given else {}),
    }


def _trace(each: Line, place: int, picture: Picture) -> dict[str, Any]:
    return {
        "mode": "+".join(["lines"] * each.line + ["markers"] * each.dots),
        "name": each.name,
        "x": _shown(each.x, picture.x),
        "y": _shown(each.y, picture.y),
        "line": {"width": 1.6, "dash": "dash"} if each.dash else {"width": 2.2},
        "meta": place,
        "hovertemplate": f"{each.name}: %{{y}} at %{{x}}",
        **({"marker": {"size": 7}} if each.dots else {}),
    }


def _shown(values: Sequence[float], axis: Axis) -> list[float | None]:
    """Return the values with a gap for each that the axis cannot show."""
    return [
        value if math.isfinite(value) and (value > 0 or not axis.log) else None for value in values
    ]
