"""The picture of a lab: curves over two axes, drawn as the report draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from thalweg.errors import MissingExtraError
from thalweg.report.parts.palette import Colour, colours

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
        """Return the figure as Plotly describes it, in the colours of light pages.

        `x` and `y` are the ranges of the axes, of logarithms where an axis is logarithmic; None for those
        that the curves need.
        """
        families, palette = self.families(), self.palette()
        traces = []
        for each in self.curves:
            place = families.index(each.family or each.name)
            traces.append(_trace(each, place, palette[place].light, self))
        return {"data": traces, "layout": self._layout(x, y)}

    def plotly(self) -> Any:
        """Return the Plotly figure.

        Raises:
            MissingExtraError: if Plotly is not installed.
        """
        try:
            from plotly.graph_objects import Figure
        except ImportError:
            raise MissingExtraError("plotly", "The picture of a lab") from None
        return Figure(self.description())

    def _layout(self, x: Range | None, y: Range | None) -> dict[str, Any]:
        across = x or extent(self.x, [x for each in self.curves for x in each.x])
        up = y or extent(self.y, [y for each in self.curves for y in each.y])
        return {
            "xaxis": {
                **_axis(self.x, across, fixed=x is not None),
                "showgrid": False,
                "showline": True,
            },
            "yaxis": _axis(self.y, up, fixed=y is not None),
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "showlegend": len(self.curves) > 1,
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff",
            "margin": {"l": 72, "r": 14, "t": 14, "b": 48},
            "hovermode": "closest",
        }


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


def _axis(axis: Axis, extent: Range | None, *, fixed: bool) -> dict[str, Any]:
    log: dict[str, Any] = {"type": "log", "exponentformat": "power"} if axis.log else {}
    if axis.log and extent:
        log |= _ticks(*extent)
    return {
        "title": {"text": escape(axis.title, quote=False), "standoff": 10},
        "gridcolor": "#ecebe7",
        "linecolor": "#e6e3de",
        "zeroline": False,
        "automargin": True,
        **log,
        **({"range": list(extent)} if extent and fixed else {}),
    }


def _ticks(low: float, high: float) -> dict[str, Any]:
    """Return where a logarithmic axis has its labels, given the logarithms of its ends.

    One a decade, and none between, where that are three at least; else at 1, 2 and 5. Plotly knows better
    for what is very long or very short.
    """
    decades = math.floor(high) - math.ceil(low) + 1
    if decades >= 3:
        return {"dtick": 1} if high - low < 6 else {}
    return {"dtick": "D2"} if high - low > 0.6 else {}


def _trace(each: Line, place: int, colour: str, picture: Picture) -> dict[str, Any]:
    name = escape(each.name, quote=False)  # Plotly reads some tags in a name
    dots = {"marker": {"size": 7, "color": colour}} if each.dots else {}
    return {
        "type": "scatter",
        "mode": "+".join(["lines"] * each.line + ["markers"] * each.dots),
        "name": name,
        "x": _shown(each.x, picture.x),
        "y": _shown(each.y, picture.y),
        "line": {"width": 1.6 if each.dash else 2.2, "color": colour}
        | ({"dash": "dash"} if each.dash else {}),
        "meta": place,
        "hovertemplate": f"{name}: %{{y:.4~g}} at %{{x:.4~g}}<extra></extra>",
        **dots,
    }


def _shown(values: Sequence[float], axis: Axis) -> list[float | None]:
    """Return the values with a gap for each that the axis cannot show."""
    return [
        value if math.isfinite(value) and (value > 0 or not axis.log) else None for value in values
    ]
