"""Which sides of a parameter have a matrix of their own: those that are not too long for one."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from thalweg.engine.program.shapes import matrix_sizes
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Links
from thalweg.rules import (
    shampoo,
    shampoo_columns,
    shampoo_identity,
    shampoo_rows,
    soap,
    soap_columns,
    soap_identity,
    soap_rows,
    soap_skipping,
    soap_skipping_columns,
    soap_skipping_identity,
    soap_skipping_rows,
)

SHAMPOO_LONGEST = {"max_dim": 2048}
SOAP_LONGEST = {"max_dim": 10_000, "precondition_1d": False}
"""The arguments that say which sides have a matrix: how long one may be, and whether a vector has one."""

_SOAP = {
    "paper": (soap, soap_rows, soap_columns, soap_identity),
    "authors": (
        soap_skipping,
        soap_skipping_rows,
        soap_skipping_columns,
        soap_skipping_identity,
    ),
}


def shampoo_forms(dialect: str, group: Group, p: Tensor) -> Links:
    """Return Shampoo with a matrix for each side of 2 to `max_dim`, and the grafted rule for vectors."""
    return ((shampoo, shampoo_rows, shampoo_columns, shampoo_identity)[_form(group, p)],)


def soap_forms(dialect: str, group: Group, p: Tensor) -> Links:
    """Return SOAP with a basis for each side of 2 to `max_dim`; for vectors Adam, if not asked otherwise."""
    return (_SOAP[dialect][_form(group, p)],)


def _form(group: Group, p: Tensor) -> int:
    """Return 0 for both sides, 1 for rows, 2 for columns, 3 for none, as of a vector."""
    if p.ndim < 2 and not group.get("precondition_1d"):
        return 3
    _, rows, columns = matrix_sizes(p.shape, "first")
    longest: Any = group["max_dim"]
    return 2 * (not 1 < rows <= longest) + (not 1 < columns <= longest)
