"""Where the nodes of a graph stand: in layers from top to bottom, with few crossings (Sugiyama, 1981).

A node's layer is one below the lowest of its inputs. An edge over several layers gets a place of its own in
each, so that it goes past nodes. Layers are ordered by the mean places of their neighbours, up and down.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

NODE, LANE = 1.0, 0.22
"""Widths of a node and of an edge that passes, in node widths."""
_SWEEPS = 6
_SETTLINGS = 24


@dataclass
class _Spot:
    """A place in a layer: of a node, or of an edge that passes."""

    layer: int
    width: float
    above: list[_Spot] = field(default_factory=list)
    below: list[_Spot] = field(default_factory=list)
    x: float = 0.0


@dataclass(frozen=True)
class Laid:
    """`places` of the nodes (x, layer), x in node widths; `edges` (from, to, places on the way)."""

    places: tuple[tuple[float, int], ...]
    edges: tuple[tuple[int, int, tuple[tuple[float, int], ...]], ...]


def laid_out(inputs: Sequence[Sequence[int]]) -> Laid:
    """Return where nodes stand whose inputs are earlier nodes.

    >>> laid_out([[], [0], [0], [1, 2]]).places
    ((0.0, 0), (-0.6, 1), (0.6, 1), (0.0, 2))
    """
    spots: list[_Spot] = []
    edges: list[tuple[int, int, list[_Spot]]] = []
    for place, given in enumerate(inputs):
        layer = 1 + max((spots[i].layer for i in given), default=-1)
        spots.append(_Spot(layer, NODE))
        for i in given:
            passing = [_Spot(k, LANE) for k in range(spots[i].layer + 1, layer)]
            chain = [spots[i], *passing, spots[place]]
            for a, b in itertools.pairwise(chain):
                a.below.append(b)
                b.above.append(a)
            edges.append((i, place, passing))
    layers: list[list[_Spot]] = [[] for _ in range(1 + max((s.layer for s in spots), default=-1))]
    for spot in [*spots, *(s for _, _, way in edges for s in way)]:
        layers[spot.layer].append(spot)
    _order(layers)
    _settle(layers)
    return Laid(
        tuple((round(s.x, 3), s.layer) for s in spots),
        tuple((a, b, tuple((round(s.x, 3), s.layer) for s in way)) for a, b, way in edges),
    )


def _order(layers: list[list[_Spot]]) -> None:
    """Sort each layer by the mean places of what is above, then of what is below, again and again."""
    for layer in layers:
        _number(layer)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            layer.sort(key=lambda s: _mean(s.above if down else s.below, s.x))
            _number(layer)


def _number(layer: list[_Spot]) -> None:
    for place, spot in enumerate(layer):
        spot.x = place - (len(layer) - 1) / 2


def _mean(spots: list[_Spot], otherwise: float) -> float:
    return sum(s.x for s in spots) / len(spots) if spots else otherwise


def _settle(layers: list[list[_Spot]]) -> None:
    """Move spots towards their neighbours, as far as those beside them leave room."""
    for layer in layers:
        _spread(layer, lambda s: s.x)
    for turn in range(_SETTLINGS):
        for layer in layers if turn % 2 == 0 else reversed(layers):
            _spread(layer, _wish)
    for layer in layers:  # what is settled nearly is now straight
        _spread(layer, lambda s: _mean([a for a in s.above if a.width == s.width], s.x))
    left = min((s.x for layer in layers for s in layer), default=0.0)
    right = max((s.x for layer in layers for s in layer), default=0.0)
    for layer in layers:
        for spot in layer:
            spot.x -= (left + right) / 2


def _wish(spot: _Spot) -> float:
    """Return where a spot would stand best: nodes straight below nodes, passing edges straight on."""
    around = [*spot.above, *spot.below]
    alike = [each for each in around if each.width == spot.width]
    return _mean(alike or around, spot.x)


def _spread(layer: list[_Spot], wish: Callable[[_Spot], float]) -> None:
    """Place the spots of a layer in their order as near as can be to what they wish, without overlaps.

    Neighbours that are too near are pushed apart as one cluster about the mean of its wishes: the least
    squares of a chain of inequalities (pool adjacent violators).
    """
    offsets, clusters = [0.0], list[list[float]]()
    for a, b in itertools.pairwise(layer):
        offsets.append(offsets[-1] + (a.width + b.width) / 2 * 1.2)
    for spot, offset in zip(layer, offsets, strict=True):
        weight = spot.width**4  # nodes hold their place, passing edges yield
        clusters.append([wish(spot) - offset, weight, 1])
        while len(clusters) > 1 and clusters[-2][0] > clusters[-1][0]:
            right, left = clusters.pop(), clusters.pop()
            total = left[1] + right[1]
            middle = (left[0] * left[1] + right[0] * right[1]) / total
            clusters.append([middle, total, left[2] + right[2]])
    bases = [base for base, _, count in clusters for _ in range(int(count))]
    for spot, base, offset in zip(layer, bases, offsets, strict=True):
        spot.x = base + offset
