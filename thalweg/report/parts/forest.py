"""A forest plot inside a table: each row's effect and interval, on an axis that all rows share.

An effect is a ratio of costs, drawn on a logarithmic axis around 1, or a difference of final figures,
drawn on a linear one around 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from thalweg.report.data.reading import effect
from thalweg.report.parts.axes import even_ticks, log_ticks

_WIDTH, _HEIGHT, _EDGE = 200, 30, 9
_APART = 26
"""Pixels between the numbers of two ticks."""

EffectKind = Literal["ratio", "difference"]


@dataclass(frozen=True)
class EffectAxis:
    """The axis, from `low` to `high`; `unit` multiplies the numbers at its ticks."""

    kind: EffectKind
    low: float
    high: float
    unit: float = 1.0

    @classmethod
    def over(
        cls, kind: EffectKind, effects: Iterable[float | None], unit: float = 1.0
    ) -> EffectAxis:
        """Return an axis that holds all these effects and the effect of equals."""
        known = [e for e in effects if e is not None and math.isfinite(e)]
        if kind == "ratio":
            known = [ratio for ratio in known if ratio > 0]
            return cls(kind, min([*known, 1 / 1.15]) / 1.04, max([*known, 1.35]) * 1.04)
        low, high = min([*known, 0.0]), max([*known, 0.0])
        room = 0.12 * (high - low) or 1.0
        return cls(kind, low - room, high + room, unit)

    @property
    def equals(self) -> float:
        """The effect of an entrant that equals the first: 1 for a ratio, 0 for a difference."""
        return 1.0 if self.kind == "ratio" else 0.0

    def x(self, value: float) -> float:
        """Return the x of an effect in pixels; one beyond the axis is drawn at its end."""
        if self.kind == "ratio":
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return _EDGE + (_WIDTH - 2 * _EDGE) * min(max(share, 0.0), 1.0)

    @property
    def ticks(self) -> list[float]:
        """The effects at which a line is drawn, that of equals among them, not too close to be read."""
        found = log_ticks if self.kind == "ratio" else even_ticks
        kept = [self.equals]
        for tick in found(self.low, self.high):
            if all(abs(self.x(tick) - self.x(other)) > _APART for other in kept):
                kept.append(tick)
        return sorted(kept)


def axis(scale: EffectAxis) -> str:
    """The head of the column: the ticks with their numbers."""
    labels = "".join(
        f'<text x="{scale.x(tick):.1f}" y="11">{scale.unit * tick:.4g}</text>'.replace("-", "−")
        for tick in scale.ticks
    )
    return f'<svg class="forest" viewBox="0 0 {_WIDTH} 14" height="14" aria-hidden="true">{labels}</svg>'


def mark(
    scale: EffectAxis, made: Mapping[str, Any] | None, seeds: Sequence[float], words: str
) -> str:
    """One row: its seeds as faint dots, the interval, the effect; an arrow where it is a bound.

    `made` is the comparison with the first; None is the first itself.
    """
    middle = _HEIGHT / 2
    parts = [
        f'<line class="{"one" if tick == scale.equals else "tick"}" x1="{scale.x(tick):.1f}" '
        f'x2="{scale.x(tick):.1f}" y1="-12" y2="{_HEIGHT + 12}"/>'
        for tick in scale.ticks
    ]
    parts += [
        f'<circle class="seed" cx="{scale.x(seed):.1f}" cy="{middle}" r="2.6"/>' for seed in seeds
    ]
    if made is None:
        x = scale.x(scale.equals)
        parts.append(f'<path class="effect" d="M{x:.1f} {middle - 6}l6 6l-6 6l-6 -6z"/>')
    else:
        parts += _interval(scale, made, middle)
    return (
        f'<svg class="forest" viewBox="0 0 {_WIDTH} {_HEIGHT}" height="{_HEIGHT}" role="img" '
        f'aria-label="{words}">{"".join(parts)}</svg>'
    )


def _interval(scale: EffectAxis, made: Mapping[str, Any], middle: float) -> list[str]:
    value, start, end = effect(made)
    if value is None:
        return []
    low = scale.x(value if start is None else start)
    high = scale.x(value if end is None else end)
    parts = [f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>']
    if made["bound"] in ("at least", "unknown"):
        parts.append(f'<path class="more" d="M{high + 6:.1f} {middle - 4}l5 4l-5 4"/>')
    if made["bound"] in ("at most", "unknown"):
        parts.append(f'<path class="more" d="M{low - 6:.1f} {middle - 4}l-5 4l5 4"/>')
    hollow = " open" if made["outcome"] == "not distinguishable" else ""
    parts.append(f'<circle class="effect{hollow}" cx="{scale.x(value):.1f}" cy="{middle}" r="5"/>')
    return parts
