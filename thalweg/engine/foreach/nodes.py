"""Nodes: the values of one step, how many numbers each of them is, and what PyTorch has for lists of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch

UNARY = tuple(
    name
    for name in (
        *("abs", "sqrt", "neg", "exp", "expm1", "log", "log2", "log10", "log1p"),
        *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
        *("erf", "erfc", "floor", "ceil", "trunc", "round", "sign", "reciprocal"),
    )
    if hasattr(torch, f"_foreach_{name}_")
)
"""The functions of one number that PyTorch has for lists."""
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "pow")


class Scope(IntEnum):
    """How many numbers a node is."""

    HOST = 0
    """One Python number."""
    ALL = 1
    """One number on the device for all tensors."""
    TENSOR = 2
    """One for each tensor: a vector."""
    UNIT = 3
    """One for each unit of each tensor: a vector, unit after unit."""
    MATRIX = 4
    """Stacks of matrices: a list with one for each shape (`stacks.py`)."""
    EACH = 5
    """One for each element: a list of tensors."""


@dataclass(eq=False)
class ListNode:
    """A value of one step. `index` is its place in the order of computation."""

    op: str
    operands: tuple[ListNode, ...]
    scope: Scope
    index: float
    boolean: bool = False
    data: Any = None

    @property
    def is_reduction(self) -> bool:
        """Whether it is a reduction over elements."""
        return self.op in ("sum", "squares", "max")


def needed(roots: Iterable[ListNode], known: Iterable[ListNode] = ()) -> list[ListNode]:
    """Return what the roots depend on, in order; what is known already is not looked behind."""
    behind = set(known)
    found: set[ListNode] = set()
    pending = list(roots)
    while pending:
        x = pending.pop()
        if x not in found:
            found.add(x)
            if x not in behind:
                pending.extend(x.operands)
    return sorted(found, key=lambda x: x.index)
