"""A model's graph as SVG: layers from top to bottom, repeated blocks in a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from thalweg.network.layout import Laid, laid_out
from thalweg.network.shown import Shade, shades, shape_words
from thalweg.network.verdicts import MARKS
from thalweg.report.data.text import cut
from thalweg.report.parts.offline import asset
from thalweg.report.parts.standalone import standalone

_WIDE, _TALL, _FLAT, _NARROW = 214, 64, 28, 64
"""Sizes of a layer's node, and height and least width of a function's."""
_LETTER = 7.2
_LOWER = 8.5
"""How much lower the lines of a node stand that has no third one: half of a line."""
_ROW = 98
_FRAME = 17
_LETTERS = 28
"""Letters that a line of a node holds."""


def drawing(record: Mapping[str, Any], measure: str | None = None, *, alone: bool = False) -> str:
    """Return the graph as the text of an SVG element.

    Args:
        record: what `graph_record` returns.
        measure: by what nodes are shaded: a key of `shades(record)`, by default its first.
        alone: whether it is a file of its own, with its colours, or part of a page that has them.
    """
    nodes = record["nodes"]
    laid = laid_out([node["inputs"] for node in nodes])
    known = shades(record)
    chosen = known.get(measure or next(iter(known), ""), [None] * len(nodes))
    xs = [x for x, _ in laid.places] + [x for _, _, way in laid.edges for x, _ in way]
    half = max((max(map(abs, xs)) if xs else 0.0) * _WIDE + _WIDE / 2 + 2 * _FRAME + 34, _WIDE)
    height = (1 + max((layer for _, layer in laid.places), default=0)) * _ROW + 8
    width = 2 * half
    parts = [_frame(record, laid, block, half) for block in record["blocks"]]
    parts += [_edge(nodes, laid, edge, half) for edge in laid.edges]
    parts += [
        _node(node, place, _middle(laid.places[place], half), chosen[place], record["rows"])
        for place, node in enumerate(nodes)
    ]
    style = (standalone() if alone else "") + asset("network.css")
    label = escape(f"Graph of {record['model']}", quote=True)
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    return (
        f'<svg{space} class="network" role="group" aria-label="{label}" width="{width:.0f}" '
        f'height="{height}" viewBox="0 0 {width:.0f} {height}" style="min-width:{0.8 * width:.0f}px">'
        f"<style>{style}</style>{''.join(parts)}</svg>"
    )


def _middle(place: tuple[float, int], half: float) -> tuple[float, float]:
    return half + place[0] * _WIDE, place[1] * _ROW + _ROW / 2


def _is_flat(node: Mapping[str, Any]) -> bool:
    return not node["name"]


def _size(node: Mapping[str, Any], rows: int = 0) -> tuple[float, float]:
    if not _is_flat(node):
        return _WIDE, _TALL
    return min(max(_LETTER * len(_words(node, rows)) + 26, _NARROW), _WIDE), _FLAT


def _words(node: Mapping[str, Any], rows: int) -> str:
    """Return what stands in the node of a function."""
    shape = shape_words(node, rows) if node["label"] == "input" else ""
    return f"{node['label']}  {shape}".strip()


def _node(
    node: Mapping[str, Any],
    place: int,
    middle: tuple[float, float],
    shade: Shade | None,
    rows: int,
) -> str:
    x, y = middle
    wide, tall = _size(node, rows)
    box = f'x="{x - wide / 2:.1f}" y="{y - tall / 2:.1f}" width="{wide}" height="{tall}"'
    radius = tall / 2 if _is_flat(node) else 9
    dark = 0.0 if shade is None else 0.06 + 0.44 * shade.dark
    shape = shape_words(node, rows)
    if _is_flat(node):
        words = cut(_words(node, rows), _LETTERS)
        lines = f'<text x="{x:.1f}" y="{y + 4.5:.1f}">{escape(words)}</text>'
    else:
        kind = f"{node['label']}{f'  {shape}' if shape else ''}"
        rows_of = ((node["name"], "b"), (kind, ""), ("" if shade is None else shade.words, "m"))
        lines = "".join(
            f'<text x="{x:.1f}" y="{y - 12.5 + 17 * k:.1f}" class="{mark}">'
            f"{escape(cut(text, _LETTERS))}</text>"
            for k, (text, mark) in enumerate(rows_of)
        )
        # two lines stand lower, in the middle; network.js moves them when another measure is shown
        low = "" if shade is not None and shade.words else f' transform="translate(0 {_LOWER:g})"'
        lines = f'<g class="lines"{low}>{lines}</g>'
    kinds = "node flat" if _is_flat(node) else "node"
    worst = min((MARKS.index(each["kind"]) for each in node["verdicts"]), default=None)
    if worst is not None:
        at = f'cx="{x + wide / 2 - 3:.1f}" cy="{y - tall / 2 + 3:.1f}" r="7"'
        lines += f'<circle class="mark {MARKS[worst]}" {at}/>'
    said = escape(f"{node['name'] or node['label']}, {node['label']}, {shape}", quote=True)
    return (
        f'<g class="{kinds}" data-node="{place}" role="img" aria-label="{said}">'
        f'<rect class="card-of" {box} rx="{radius}"/>'
        f'<rect class="heat" {box} rx="{radius}" fill-opacity="{dark:.3f}"/>{lines}</g>'
    )


def _edge(
    nodes: Sequence[Mapping[str, Any]],
    laid: Laid,
    edge: tuple[int, int, tuple[tuple[float, int], ...]],
    half: float,
) -> str:
    """Return an edge: down from its node, straight past each layer on its way, into the next node."""
    begin, end, way = edge
    x, y = _middle(laid.places[begin], half)
    y += _size(nodes[begin])[1] / 2
    path = [f"M{x:.1f} {y:.1f}"]
    last_x, last_y = _middle(laid.places[end], half)
    last_y -= _size(nodes[end])[1] / 2 + 5
    for at in way:
        to_x, to_y = _middle(at, half)
        path.append(_curve(y, to_x, to_y - _TALL / 2, x) + f"V{to_y + _TALL / 2:.1f}")
        x, y = to_x, to_y + _TALL / 2
    path.append(_curve(y, last_x, last_y, x))
    tip = f"M{last_x - 4:.1f} {last_y:.1f}h8l-4 5z"
    return f'<path class="edge" d="{"".join(path)}"/><path class="tip" d="{tip}"/>'


def _curve(y: float, to_x: float, to_y: float, x: float) -> str:
    bend = max((to_y - y) / 2, 6)
    return f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"


def _frame(record: Mapping[str, Any], laid: Laid, block: Mapping[str, int], half: float) -> str:
    """Return the frame around a repeated block, with how often it comes."""
    inside = range(block["begin"], block["begin"] + block["size"])
    layers = [laid.places[k][1] for k in inside]
    spots = [(*_middle(laid.places[k], half), _size(record["nodes"][k])[0] / 2) for k in inside]
    for begin, end, way in laid.edges:
        if begin in inside and end in inside:
            spots += [(*_middle(at, half), 8.0) for at in way]
    left = min(x - w for x, _, w in spots) - _FRAME
    right = max(x + w for x, _, w in spots) + _FRAME
    top, bottom = min(layers) * _ROW + 4, (max(layers) + 1) * _ROW - 4
    return (
        f'<rect class="frame" x="{left:.1f}" y="{top}" width="{right - left:.1f}" '
        f'height="{bottom - top}" rx="14"/><text class="times" x="{right + 7:.1f}" '
        f'y="{(top + bottom) / 2:.0f}">× {block["repeats"]}</text>'
    )
