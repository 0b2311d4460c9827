"""Which sides of a parameter have a matrix of their own, and which matrices are cut into blocks."""

from __future__ import annotations

import functools
import math
from typing import Any

from torch import Tensor

from thalweg.engine import Link, Rule
from thalweg.engine.program.shapes import matrix_sizes
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Links
from thalweg.rules.shampoo import (
    shampoo,
    shampoo_blocks,
    shampoo_columns,
    shampoo_identity,
    shampoo_rows,
)
from thalweg.rules.soap import soap, soap_columns, soap_identity, soap_rows
from thalweg.rules.soap_authors import (
    soap_skipping,
    soap_skipping_columns,
    soap_skipping_identity,
    soap_skipping_rows,
)
from thalweg.rules.soap_blocks import soap_blocks, soap_skipping_blocks

SMALLEST_BLOCK = 3
"""The smallest block size that leaves no block with a single row or column."""

SHAMPOO_SIDES = {"max_dim": 2048, "block_size": math.inf}
SOAP_SIDES = {"max_dim": 10_000, "block_size": math.inf, "precondition_1d": False}
"""The arguments that say which sides have a matrix: how long one may be, into blocks of which size longer
ones are cut, and whether a vector has one."""

_SHAMPOO = (shampoo, shampoo_rows, shampoo_columns, shampoo_identity)
_SOAP = {
    "paper": (soap, soap_rows, soap_columns, soap_identity),
    "authors": (
        soap_skipping,
        soap_skipping_rows,
        soap_skipping_columns,
        soap_skipping_identity,
    ),
}
_SOAP_BLOCKS = {"paper": soap_blocks, "authors": soap_skipping_blocks}


def shampoo_forms(dialect: str, group: Group, p: Tensor) -> Links:
    """Return Shampoo with a matrix for each side of 2 to `max_dim`, and the grafted rule for vectors."""
    block = _block(group, p)
    return (_cut(shampoo_blocks, block),) if block else (_SHAMPOO[_form(group, p)],)


def soap_forms(dialect: str, group: Group, p: Tensor) -> Links:
    """Return SOAP with a basis for each side of 2 to `max_dim`; for vectors Adam, if not asked otherwise."""
    block = _block(group, p)
    return (_cut(_SOAP_BLOCKS[dialect], block),) if block else (_SOAP[dialect][_form(group, p)],)


@functools.cache
def _cut(made: Rule, block: int) -> Link:
    return made(block_size=str(block))


def _block(group: Group, p: Tensor) -> int:
    """Return the largest side of a block that a parameter is cut into, 0 where it stays whole."""
    size: Any = group.get("block_size", math.inf)
    if p.ndim < 2 or size == math.inf:
        return 0
    _, rows, columns = matrix_sizes(p.shape, "first")
    largest = int(min(size, max(SMALLEST_BLOCK, group["max_dim"])))
    return largest if min(rows, columns) > 1 and max(rows, columns) > largest else 0


def _form(group: Group, p: Tensor) -> int:
    """Return 0 for both sides, 1 for rows, 2 for columns, 3 for none, as of a vector."""
    if p.ndim < 2 and not group.get("precondition_1d"):
        return 3
    _, rows, columns = matrix_sizes(p.shape, "first")
    longest: Any = group["max_dim"]
    return 2 * (not 1 < rows <= longest) + (not 1 < columns <= longest)
