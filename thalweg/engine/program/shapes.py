"""Shapes of matrix values, and which matrix a tensor is seen as.

A parameter is seen as a matrix of m rows and n columns. The shape of a matrix value is a pair of "m", "n"
and "1": a product G·Gᵀ has ("m", "m"), a number for each row ("m", "1"). What is kept for the blocks of a
matrix has ("m", "blocks 128") or ("n", "blocks 128"), if blocks have at most 128 rows and columns
(`thalweg/engine/matrix/in_blocks.py`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

Shape = tuple[str, str]

WHOLE: Shape = ("m", "n")
NUMBER: Shape = ("1", "1")

RowsByRows = Annotated[Any, "a state of m × m numbers"]
"""Annotates a state of m × m numbers for a parameter seen as m × n, such as an average of G·Gᵀ."""

ColumnsByColumns = Annotated[Any, "a state of n × n numbers"]
"""Annotates a state of n × n numbers for a parameter seen as m × n, such as an average of Gᵀ·G."""

EachRow = Annotated[Any, "a state of one number a row"]
"""Annotates a state of one number for each row (m × 1)."""

EachColumn = Annotated[Any, "a state of one number a column"]
"""Annotates a state of one number for each column (1 × n)."""

RowsByRowsOfBlocks = Annotated[Any, "a state of m′ × m′ numbers for each block"]
"""Annotates a state of m′ × m′ numbers for each block of m′ × n′; a rule says with a switch `block_size` how
many rows and columns a block has at most."""

ColumnsByColumnsOfBlocks = Annotated[Any, "a state of n′ × n′ numbers for each block"]
"""Annotates a state of n′ × n′ numbers for each block of m′ × n′, as `RowsByRowsOfBlocks`."""

_BLOCKS = "blocks"

ANNOTATED: Mapping[str, tuple[Any, Shape]] = {
    "RowsByRows": (RowsByRows, ("m", "m")),
    "ColumnsByColumns": (ColumnsByColumns, ("n", "n")),
    "RowsByRowsOfBlocks": (RowsByRowsOfBlocks, ("m", _BLOCKS)),
    "ColumnsByColumnsOfBlocks": (ColumnsByColumnsOfBlocks, ("n", _BLOCKS)),
    "EachRow": (EachRow, ("m", "1")),
    "EachColumn": (EachColumn, ("1", "n")),
}

RESULTS: Mapping[str, Any] = {
    "same": lambda a, b: (a, b),
    "transposed": lambda a, b: (b, a),
    "rows": lambda a, b: (a, a),
    "columns": lambda a, b: (b, b),
    "row": lambda a, b: (a, "1"),
    "column": lambda a, b: ("1", b),
    "number": lambda a, b: NUMBER,
}
"""What a matrix function may return, from the shape a × b of its first matrix."""

Seen = Literal["first", "last"]
"""How a tensor of more than two dimensions is seen as a matrix: the first dimension by the rest ("first"), or
a batch of matrices in the last two ("last")."""


class ShapeError(Exception):
    """What is wrong with the shapes of matrix values in a rule."""


def annotated_shape(annotation: Any) -> Shape | None:
    """Return the shape that the annotation of a state declares, or None for another one."""
    name = str(annotation).split(".")[-1]
    for known, (kind, shape) in ANNOTATED.items():
        if annotation is kind or name == known:
            return shape
    return None


def text_of(shape: Shape) -> str:
    """Return a shape as it is written in messages."""
    return " × ".join(shape)


def joined_shape(shapes: Iterable[Shape]) -> Shape:
    """Return the shape of arithmetic on values of these shapes, where a 1 is repeated.

    Raises:
        ShapeError: two of them do not go together.
    """
    shapes = list(shapes)
    found = []
    for k in range(2):
        sizes = {shape[k] for shape in shapes} - {"1"}
        if len(sizes) > 1:
            listed = " and ".join(dict.fromkeys(map(text_of, shapes)))
            raise ShapeError(f"it combines values of {listed} element by element")
        found.append(sizes.pop() if sizes else "1")
    return found[0], found[1]


def product_shape(a: Shape, b: Shape) -> Shape:
    """Return the shape of a product of matrices.

    Raises:
        ShapeError: there is no such product.
    """
    if a[1] != b[0]:
        raise ShapeError(f"it multiplies a matrix of {text_of(a)} by one of {text_of(b)}")
    return a[0], b[1]


def matrix_sizes(shape: Sequence[int], seen: Seen) -> tuple[int, int, int]:
    """Return how many matrices a tensor is seen as, and their rows and columns.

    A vector is a matrix of one column.

    >>> (
    ...     matrix_sizes((8, 3, 5, 5), "first"),
    ...     matrix_sizes((8, 3, 5, 5), "last"),
    ...     matrix_sizes((4,), "first"),
    ... )
    ((1, 8, 75), (24, 5, 5), (1, 4, 1))
    """
    if seen == "last" and len(shape) > 2:
        return math.prod(shape[:-2]), shape[-2], shape[-1]
    return 1, (shape[0] if shape else 1), math.prod(shape[1:])


def with_block_size(of: Shape, size: str | None) -> Shape:
    """Return the shape of a state with the size of the blocks that it is for.

    Raises:
        ShapeError: it is for blocks, and block_size is not an integer of at least 1.
    """
    if of[1] != _BLOCKS:
        return of
    if size is None or not size.isdecimal() or not int(size):
        raise ShapeError(
            "a state for blocks needs a switch block_size, a string with an integer above 0 such as "
            f"'128', got {size!r}"
        )
    return of[0], f"{_BLOCKS} {size}"


def parts_of(side: int, block: int) -> tuple[int, int]:
    """Return how many parts of at most `block` a side is cut into, and the size of the longest.

    >>> parts_of(129, 100), parts_of(100, 100)
    ((2, 65), (1, 100))
    """
    count = max(1, -(-side // block))
    return count, -(-side // count)


@functools.lru_cache(maxsize=4096)
def lengths_of(shape: Shape, m: int, n: int) -> tuple[int, int]:
    """Return how many rows and columns a matrix of a shape has, for a parameter seen as m × n.

    >>> lengths_of(("m", "blocks 100"), 129, 250), lengths_of(("1", "n"), 129, 250)
    ((129, 195), (1, 250))
    """
    first, second = shape
    return length_of(first, first, m, n), length_of(second, first, m, n)


def length_of(dimension: str, of: str, m: int, n: int) -> int:
    """Return how long a dimension of a shape is, whose first dimension is `of`."""
    kind, _, block = dimension.partition(" ")
    if kind != _BLOCKS:
        return {"m": m, "n": n, "1": 1}[dimension]
    own, other = (m, n) if of == "m" else (n, m)
    return parts_of(own, int(block))[1] * parts_of(other, int(block))[0]


def state_size(of: Shape, shape: Sequence[int], seen: Seen) -> tuple[int, ...]:
    """Return the size of a state of such a shape, for a parameter of size `shape`."""
    _, m, n = matrix_sizes(shape, seen)
    leading = tuple(shape[:-2]) if seen == "last" and len(shape) > 2 else ()
    return (*leading, *lengths_of(of, m, n))
