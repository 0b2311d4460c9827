"""What draws a picture returns: its curves and axes as plain values, and the page that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any


@dataclass(frozen=True)
class Chart:
    """Curves over axes, as plain values, and the page that draws them. A notebook shows the page.

    Args:
        data: the curves, each with `name`, `x`, `y` and how it is drawn; None is a gap.
        layout: the axes, each with its title, and what is marked.
        page: the text of one HTML page that needs nothing else, no network included.

    >>> from thalweg.report import plot_schedules
    >>> chart = plot_schedules({"halving": lambda step: 0.5**step}, 3)
    >>> chart.data[0]["y"], chart.layout["xaxis"]["title"]["text"]
    ([1.0, 0.5, 0.25], 'steps taken')
    """

    data: Sequence[dict[str, Any]]
    layout: Mapping[str, Any]
    page: str = field(repr=False)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that neither its style nor a notebook's reaches the other."""
        return (
            f'<iframe srcdoc="{escape(self.page)}" title="chart" '
            'style="width:100%;height:680px;border:0"></iframe>'
        )
