"""Which of several starts is recommended: the usual one, unless another is forecast to be far better."""

from __future__ import annotations

import math
from collections.abc import Mapping

from thalweg.init.spread import Spread

MARGIN = math.log(4)
"""How far another start must be ahead of the usual one, in nats: more than the linear steps have been wrong.

On the networks of docs/init.md they put a start too far ahead by a factor of 3.1 at most. One that shrinks
what goes through it has little curvature where it begins, so the linear model takes long steps; the curvature
grows with the outputs, and steps of that length then lead away.
"""


def recommended(figures: Mapping[str, Spread], seeds: int, margin: float) -> tuple[str, ...]:
    """Return the recommended start, then those that are not told apart from it.

    That is the usual start, unless the figure of another is lower by more than the margin and twice the error
    of the difference; where no usual start is compared, the lowest. Not told apart are those whose figure
    is higher by twice the error of the difference at most.

    Args:
        figures: by the text of a strategy; lower is better, and one that is not finite is no choice.
        seeds: how many each figure is the mean of.
        margin: a smaller difference of the figures does not overrule the usual start.

    >>> said = {
    ...     "orthogonal|lsuv": Spread(3.0, 0.1),
    ...     "he": Spread(2.5, 0.1),
    ...     "default": Spread(9.0, 0.1),
    ... }
    >>> recommended(said, 5, margin=1.0), recommended(said, 5, margin=0.2)
    (('orthogonal|lsuv', 'he'), ('he',))
    """
    known = {name: spread for name, spread in figures.items() if math.isfinite(spread.mean)}
    if not known:
        return ()
    chosen = _lowest(known)
    usual = usual_of(figures)
    if usual is not None and usual in known:
        ahead = known[usual].mean - known[chosen].mean
        if ahead <= margin + 2 * _error(known[usual], known[chosen], seeds):
            chosen = usual
    alike = [
        name
        for name, spread in known.items()
        if name != chosen
        and spread.mean - known[chosen].mean <= 2 * _error(spread, known[chosen], seeds)
    ]
    return (chosen, *alike)


def usual_of(figures: Mapping[str, Spread]) -> str | None:
    """Return the usual start: orthogonal weights, scaled by LSUV if such a one is compared. Of several the
    one with the lowest figure; None where none is compared.
    """
    orthogonal = [name for name in figures if "orthogonal" in _parts(name)]
    scaled = [name for name in orthogonal if "lsuv" in _parts(name)]
    among = scaled or orthogonal
    return _lowest({name: figures[name] for name in among}) if among else None


def _lowest(figures: Mapping[str, Spread]) -> str:
    return min(figures, key=lambda name: _or_infinite(figures[name].mean))


def _or_infinite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _parts(name: str) -> set[str]:
    """Return what the parts of a strategy are called."""
    return {part.partition(":")[0].strip() for part in name.split("|")}


def _error(one: Spread, other: Spread, seeds: int) -> float:
    """Return the standard error of the difference of two means."""
    return math.hypot(one.std, other.std) / math.sqrt(seeds)
