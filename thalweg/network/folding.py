"""Repeated blocks of a model: calls that come again and again in the same order and wiring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from thalweg.network.nodes import Node

_LONGEST = 256
"""Nodes that a block may have."""


@dataclass(frozen=True)
class Block:
    """Nodes begin … begin + size - 1 stand for `repeats` runs of them, one after the other."""

    begin: int
    size: int
    repeats: int


@dataclass(frozen=True)
class Folded:
    """Nodes with each block once; `stands_for` are, for each node, the places of all that it is.

    `inputs` of a node behind a block are those of the block's first run.
    """

    nodes: tuple[Node, ...]
    blocks: tuple[Block, ...]
    stands_for: tuple[tuple[int, ...], ...]


def folded(nodes: Sequence[Node]) -> Folded:
    """Return the nodes with runs of equal blocks folded, those that save most first.

    Blocks are equal where their calls have the same kinds, shapes of parameters and results, and FLOPs, and
    take their inputs from the same places, seen from where they stand.

    >>> from torch import nn
    >>> from thalweg.network.nodes import network_of
    >>> block = lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    >>> found = folded(network_of(nn.Sequential(*(block() for _ in range(12)))).nodes)
    >>> [node.label for node in found.nodes], found.blocks
    (['input', 'Linear', 'ReLU'], (Block(begin=1, size=2, repeats=12),))
    """
    runs = _runs(nodes)
    new_place: dict[int, int] = {}
    kept: list[int] = []
    blocks: list[Block] = []
    groups: list[tuple[int, ...]] = []
    place = 0
    while place < len(nodes):
        size, repeats = runs.get(place, (1, 1))
        if repeats > 1:
            blocks.append(Block(len(kept), size, repeats))
        for k in range(size):
            group = tuple(place + k + run * size for run in range(repeats))
            new_place.update(dict.fromkeys(group, len(kept)))
            kept.append(place + k)
            groups.append(group)
        place += size * repeats
    put = [
        replace(
            nodes[old],
            inputs=tuple(dict.fromkeys(new_place[i] for i in nodes[old].inputs)),
        )
        for old in kept
    ]
    return Folded(tuple(put), tuple(blocks), tuple(groups))


def _runs(nodes: Sequence[Node]) -> dict[int, tuple[int, int]]:
    """Return, for the places where a run of equal blocks begins, the size and the number of blocks."""
    marks = [(n.label, n.sizes, n.shapes, n.flops, bool(n.module)) for n in nodes]
    found = []
    for size in range(1, min(_LONGEST, len(nodes) // 2) + 1):
        begin = 0
        while begin + 2 * size <= len(nodes):
            count = _repeats(nodes, marks, begin, size)
            if count > 1 and any(nodes[begin + k].module for k in range(size)):
                found.append((-size * (count - 1), size, begin, count))
            begin += max(1, size * (count - 1)) if count > 1 else 1
    runs: dict[int, tuple[int, int]] = {}
    taken: set[int] = set()
    for _, size, begin, count in sorted(found):  # what saves most comes first
        covered = range(begin, begin + size * count)
        if not taken.intersection(covered):
            taken.update(covered)
            runs[begin] = (size, count)
    return runs


def _repeats(nodes: Sequence[Node], marks: Sequence[object], begin: int, size: int) -> int:
    """Return how many equal blocks of a size stand one after the other."""
    count = 1
    while begin + (count + 1) * size <= len(nodes):
        first = begin + count * size
        for k in range(first, first + size):
            if marks[k] != marks[k - size] or not _wired_alike(nodes, k, size, begin, count == 1):
                return count
        count += 1
    return count


def _wired_alike(nodes: Sequence[Node], place: int, size: int, begin: int, is_second: bool) -> bool:
    """Whether a node takes what the one a block before takes, from the same distance or the same place.

    What comes into the first block from before it may come from anywhere.
    """
    now, before = nodes[place].inputs, nodes[place - size].inputs
    if len(now) != len(before):
        return False
    return all(
        a - size == b or (b < begin and (a == b or (is_second and a >= begin)))
        for a, b in zip(now, before, strict=True)
    )
