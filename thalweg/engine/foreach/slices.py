"""How the tensors of a batch are divided into parts.

On the CPU a part is a few megabytes, so that temporary tensors are small, and much of what one operation
leaves is still in a cache when the next one reads it. Elsewhere parts are as large as they may be so that all
temporary tensors together take no more memory than the parameters. A tensor larger than a part is cut, where
a program only computes element by element.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from thalweg.engine.program.program import Program

CACHED = 2**19
"""Elements of a part on the CPU."""
LEAST = 2**22
"""Elements of a part elsewhere at the least: a smaller one would not use the whole device."""


class Item(NamedTuple):
    """A tensor of a batch, or a piece of its elements in the order in which they are stored."""

    position: int
    start: int | None = None
    stop: int | None = None


def largest_part(device: torch.device, total: int, temporaries: int) -> int:
    """Return how many elements a part has at most; `total` is the size of the batch."""
    if device.type == "cpu":
        return CACHED
    return max(LEAST, total // max(1, temporaries))


def can_be_cut(program: Program) -> bool:
    """Whether an element's new value depends on that element alone."""
    whole = any(v.is_reduction or v.op in ("noise", "bits") for v in program.reached())
    return not (whole or program.sees_matrices)


def sliced(sizes: Sequence[tuple[int, int, bool]], most: int) -> Iterator[list[Item]]:
    """Divide tensors into parts of at most so many elements.

    `sizes` has of each tensor its position, its elements, and whether it can be cut.
    """
    part: list[Item] = []
    filled = 0
    for position, size, cuttable in sizes:
        if part and filled + size > most:
            yield part
            part, filled = [], 0
        if size > most and cuttable:
            for start in range(0, size, most):
                yield [Item(position, start, min(start + most, size))]
            continue
        part.append(Item(position))
        filled += size
    if part:
        yield part
