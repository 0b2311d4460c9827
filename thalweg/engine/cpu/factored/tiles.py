"""The tiles that matrices are cut into, and where the numbers of their rows and columns lie.

A tile is some rows by some columns of one matrix: what a thread goes through at once. It adds up each of its
rows and each of its columns. A matrix has so many sums of a row as tiles lie side by side, and of a column as
tiles lie one below the other; those of one such strip lie one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.engine.member import Member
from thalweg.engine.program.shapes import Seen, matrix_sizes, parts_of

NumberArray = np.ndarray[Any, np.dtype[Any]]

TILE_COLUMNS = 2048
"""Columns of a tile at most: their sums fit the first-level cache."""
TILE_ROWS = 1024
"""Rows of a tile at most: so many numbers of a column are summed in the precision of the data."""

TILE_FIELDS = ("tensor", "offset", "row of scalars", "entry", "width", "height", "stride")
TABLES = (
    *("pointers", "chunks", "rows", "reduced", "partials", "vectors"),
    *("chunk count", "chunks taken"),
)
"""What the argument of a kernel holds, in order."""
PLACES = ("row", "column", "row sum", "column sum")
MATRIX_FIELDS = ("tensor", "row of scalars", "number", "rows", "columns", "across", "down")
"""What is written of a tile, and of a matrix; the places follow."""


class Tiles:
    """The tiles of the members of a batch, and its matrices."""

    def __init__(
        self, members: Sequence[Member], row_of: Sequence[int], seen: Seen, longest: int
    ) -> None:
        self.pieces: list[int] = []
        """How many tiles each member has; one without elements has one all the same."""
        self.lengths = dict.fromkeys(PLACES, 0)
        """How many numbers of each kind there are."""
        tiles: list[tuple[int, ...]] = []
        matrices: list[list[int]] = []
        for k, member in enumerate(members):
            count, m, n = matrix_sizes(member.param.shape, seen)
            before = len(tiles)
            for number in range(count):
                own = _tiles_of(m, n, longest)
                across, down = len(own[1]), len(own[0])
                places = list(self.lengths.values())
                matrices.append([k, row_of[k], number, m, n, across, down, *places])
                tiles += [
                    (
                        *(k, number * m * n + i * n + j, row_of[k], k, width, height, n),
                        *_places(places, (i, j), (a * m + i, b * n + j)),
                    )
                    for b, (i, height) in enumerate(own[0])
                    for a, (j, width) in enumerate(own[1])
                ]
                for place, size in zip(PLACES, (m, n, across * m, down * n), strict=True):
                    self.lengths[place] += size
            if len(tiles) == before:
                empty = (0,) * (len(TILE_FIELDS) + len(PLACES) - 4)
                tiles.append((k, 0, row_of[k], k, *empty))
            self.pieces.append(len(tiles) - before)
        self.tiles = np.array(tiles, dtype=np.int64)
        fields = len(MATRIX_FIELDS) + len(PLACES)
        self.matrices = np.array(matrices, dtype=np.int64).reshape(-1, fields)


def _places(first: Sequence[int], own: tuple[int, int], sums: tuple[int, int]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, (*own, *sums), strict=True))


def _tiles_of(m: int, n: int, longest: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the strips of rows and of columns of a matrix, each with where it begins and its size."""
    across = _cut(n, TILE_COLUMNS)
    width = max(1, across[0][1])
    return _cut(m, min(TILE_ROWS, max(1, longest // width))), across


def _cut(side: int, most: int) -> list[tuple[int, int]]:
    _, size = parts_of(side, most)
    starts = range(0, max(1, side), max(1, size))
    return [(start, min(size, side - start)) for start in starts]
